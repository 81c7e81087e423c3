"""Turns a file into a C array: embed.py IN OUT NAME. Used by the build for the built-in values."""
import sys

source, target, name = sys.argv[1:]
data = open(source, "rb").read()
lines = [", ".join(str(b) for b in data[i:i + 24]) + "," for i in range(0, len(data), 24)]
with open(target, "w") as out:
    out.write('#include "cmd/page_values.h"\n\n')
    out.write("const char %s[] = {\n%s\n};\n" % (name, "\n".join(lines)))
    out.write("const size_t %s_bytes = sizeof(%s);\n" % (name, name))
