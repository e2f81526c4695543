#!/bin/sh
# closure.sh ROOT FILE...: copies programs to the same place under ROOT, with the
# loader and every library that they are linked to. Links between the files stay
# links, so that nothing is there twice. What lies under BASE already is left out.
# The packages that the files are of are noted where scanners look for them.
set -eu
root=$1
shift

# copy takes a file along by the path that it is opened by: the loader finds
# libraries by their directory and needs no cache then.
copy() {
    if [ -e "$root$1" ] || { [ -n "${BASE:-}" ] && [ -e "$BASE$1" ]; }; then
        return
    fi
    mkdir -p "$root$(dirname "$1")"
    cp --dereference --preserve=mode,timestamps "$1" "$root$1"
    note "$1"
}

# note asks dpkg by both paths of a merged /usr. What is of no package brings its
# own note in /var/lib/dpkg/status.d.
note() {
    owner=$(dpkg -S "$1" 2>/dev/null || dpkg -S "/usr$1" 2>/dev/null || dpkg -S "${1#/usr}" 2>/dev/null) || return 0
    package=${owner%%:*}
    dpkg -s "$package" > "$root/var/lib/dpkg/status.d/$package"
}

mkdir -p "$root/var/lib/dpkg/status.d"
for file; do
    real=$(readlink -f "$file")
    copy "$real"
    if [ "$file" != "$real" ]; then
        mkdir -p "$root$(dirname "$file")"
        ln -sf "$real" "$root$file"
    fi
    if missing=$(ldd "$real" | grep 'not found'); then
        echo "closure.sh: $file: $missing" >&2
        exit 1
    fi
    for library in $(ldd "$real" | grep -o '/[^ ]*'); do
        copy "$library"
    done
done
if [ -z "${BASE:-}" ] && [ -d /var/lib/dpkg/status.d ]; then
    cp /var/lib/dpkg/status.d/* "$root/var/lib/dpkg/status.d/"
fi
