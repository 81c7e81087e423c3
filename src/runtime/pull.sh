#!/bin/sh
# Makes one environment: a Python with Ray, uv, and what is put on top. Run by image.c, embedded in the binary.
#
#   $1 python       the interpreter            $5 before    YYYY-MM-DD: packages as of then; or empty
#   $2 temporary    where it is made           $6 packages  lines of a requirements file; or empty
#   $3 final        where it is moved to       $7 as_of     YYYY-MM-DD for the packages; or empty
#   $4 ray          ray[all]==2.46.0           $8 more      further lines, always the newest; or empty
#                                              $9 file      a requirements file of the user's; or empty
#
# Descriptor 3 ends when the supervisor does or gives up the job: then the guard ends the whole session,
# pip and its children too, which would otherwise live on without anybody to report to.
set -eu
python=$1 temporary=$2 final=$3 ray=$4 before=$5 packages=$6 as_of=$7 more=$8 file=$9
(read -r _ <&3 || :; kill -s KILL -- "-$$") >/dev/null 2>&1 &
guard=$!
exec 3<&-
trap 'kill "$guard" || :; rm -rf "$temporary"' EXIT
rm -rf "$temporary"
"$python" -m venv "$temporary"
py=$temporary/bin/python

pip() {
    "$py" -m pip install --disable-pip-version-check --no-input --progress-bar off "$@"
}

# uv reads no pip.conf: what pip is told of indexes and certificates holds for it too.
tell_uv() {
    setting=$("$py" -m pip config get "global.$2" 2>/dev/null || :)
    eval "given=\${$1-} asked=\${$3-}"
    value=${asked:-$setting}
    if [ -z "$given" ] && [ -n "$value" ]; then
        export "$1=$value"
    fi
}

if pip --quiet uv; then
    tell_uv UV_DEFAULT_INDEX index-url PIP_INDEX_URL
    tell_uv UV_INDEX extra-index-url PIP_EXTRA_INDEX_URL
    tell_uv UV_FIND_LINKS find-links PIP_FIND_LINKS
    tell_uv UV_NO_INDEX no-index PIP_NO_INDEX
    tell_uv SSL_CERT_FILE cert PIP_CERT
    add() {
        "$temporary/bin/uv" pip install --python "$py" --no-progress --compile-bytecode "$@"
    }
else # a platform for which there is no uv
    before='' as_of=''
    add() {
        pip "$@"
    }
fi

# An index that tells no dates has nothing from before any: then everything is the newest.
if [ -n "$before" ] && ! add --quiet --dry-run --no-deps --exclude-newer "$before" "${ray%%\[*}==${ray##*==}" 2>/dev/null; then
    before='' as_of=''
fi

cd "$temporary"
add ${before:+--exclude-newer "$before"} "$ray"
printf 'ray==%s\n' "${ray##*==}" >ray.txt
if [ -n "$packages" ]; then
    printf '%s' "$packages" >packages.txt
    add ${as_of:+--exclude-newer "$as_of"} --constraint ray.txt --requirement packages.txt
fi
if [ -n "$more" ]; then
    printf '%s' "$more" >more.txt
    add --constraint ray.txt --requirement more.txt
fi
if [ -n "$file" ]; then
    cd "$(dirname "$file")" # paths in it are relative
    add --constraint "$temporary/ray.txt" --requirement "$file"
fi
cd /
"$py" -c 'import ray'
grep -rlIF "$temporary" "$temporary/bin" "$temporary/pyvenv.cfg" | while read -r f; do
    sed -i "s|$temporary|$final|g" "$f"
done
mv -T "$temporary" "$final"
