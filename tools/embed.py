"""Turns a file into a C array: embed.py IN OUT HEADER NAME. The header declares NAME and NAME_bytes."""
import sys

source, target, header, name = sys.argv[1:]
data = open(source, "rb").read() + b"\0"
lines = [", ".join(str(b) for b in data[i:i + 24]) + "," for i in range(0, len(data), 24)]
with open(target, "w") as out:
    out.write('#include "%s"\n\n' % header)
    out.write("const char %s[] = {\n%s\n};\n" % (name, "\n".join(lines)))
    out.write("const size_t %s_bytes = sizeof(%s) - 1;\n" % (name, name))
