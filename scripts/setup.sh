# shellcheck shell=sh
# Sourced by demo.sh, test.sh and check.sh: a Python, a virtual environment with the project in it, system libraries.
# POSIX sh. Everything is reused when it is there already; a machine that lacks something it can't get is told so in one sentence.
# The caller has set `root` to the top folder of the clone.

venv="${root:?}/.venv"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore

say() {
    printf 'napari-subtomo: %s\n' "$*"
}

fail() {
    say "$*" >&2
    exit 1
}

# room FOLDER MB WHAT: says so where a disk has less than is needed; a step that runs out of room says it less clearly.
room() {
    mkdir -p "$1"
    free="$(df -Pm "$1" 2>/dev/null | awk 'NR == 2 { print $4 }')"
    case "$free" in '' | *[!0-9]*) return 0 ;; esac
    [ "$free" -ge "$2" ] || say "$3 needs about $2 MB of disk in $1, found $free MB free: make room there if a step below fails." >&2
}

# Runs a command as root, directly or through a sudo that asks for no password; false where neither is possible.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1 && sudo -n true >/dev/null 2>&1; then
        sudo -n "$@"
    else
        return 1
    fi
}

can_be_root() {
    as_root true >/dev/null 2>&1
}

# apt_install PACKAGE...: true when all are installed at the end; what apt has to say is kept in $apt_log.
apt_log="${TMPDIR:-/tmp}/napari-subtomo-apt.$$.log"
apt_install() {
    command -v apt-get >/dev/null 2>&1 && can_be_root || return 1
    say "installing system packages: $*"
    # An update may fail for one broken third-party source and still leave good lists, so the install decides.
    as_root apt-get -q update >"$apt_log" 2>&1 </dev/null || true
    if as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends \
        -o DPkg::Lock::Timeout=120 "$@" >>"$apt_log" 2>&1 </dev/null; then
        rm -f "$apt_log"
        return 0
    fi
    say "apt-get failed: $(grep -m 1 '^E:' "$apt_log" || tail -n 1 "$apt_log") (all of it is in $apt_log)" >&2
    return 1
}

# Prints the first Python that is new enough: $PYTHON, then python3, then the versions by name.
find_python() {
    for candidate in "${PYTHON:-}" python3 python3.11 python3.12 python3.13; do
        if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

# Debian keeps pip's wheel in a package of its own; apt-get can fetch it without root, even where no package list was ever loaded.
# Prints the wheel's path. A wheel is a zip file that Python runs as it is.
fetch_pip_wheel() {
    work="$1"
    command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1 || return 1
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/deb" "$work/files"
    set -- -q -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=
    apt-get "$@" update >/dev/null 2>&1 </dev/null || true
    (cd "$work/deb" && apt-get "$@" download python3-pip-whl >/dev/null 2>&1 </dev/null) || return 1
    dpkg-deb -x "$work"/deb/python3-pip-whl_*.deb "$work/files" || return 1
    ls "$work"/files/usr/share/python-wheels/pip-*.whl
}

# Tries one way after the other, the usual one first. Debian's and Ubuntu's python3 come without python3-venv (ensurepip).
create_venv() {
    base="$1"
    "$base" -m venv "$venv" >/dev/null 2>&1 && return 0
    rm -rf "$venv"
    if "$base" -m virtualenv --version >/dev/null 2>&1 && "$base" -m virtualenv -q "$venv" >/dev/null 2>&1; then
        return 0
    fi
    if command -v uv >/dev/null 2>&1 && uv venv -q --seed --python "$base" "$venv" >/dev/null 2>&1; then
        return 0
    fi
    work="$(mktemp -d)"
    if "$base" -m venv --without-pip "$venv" >/dev/null 2>&1; then
        # A pip outside the new environment can install into it: the machine's own, or the wheel inside Debian's package.
        if "$base" -m pip --python "$venv/bin/python" install -q pip >/dev/null 2>&1 ||
            { wheel="$(fetch_pip_wheel "$work")" && "$venv/bin/python" "$wheel/pip" install -q pip >/dev/null 2>&1; }; then
            rm -rf "$work"
            return 0
        fi
    fi
    rm -rf "$work" "$venv"
    version="$("$base" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    apt_install "$version" && "$base" -m venv "$venv" >/dev/null 2>&1 && return 0
    rm -rf "$venv"
    fail "no virtual environment can be made with $base: install $version (as root: apt-get install $version), then run this again."
}

ensure_venv() {
    if [ -e "$venv" ] && [ ! -e "$venv/.ready" ]; then
        if "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
            : # a working environment that somebody made by hand
        elif [ -e "$venv.unfinished" ]; then
            rm -rf "$venv"
        else
            fail "$venv exists, but its Python or its pip does not run: remove the folder, then run this again."
        fi
    elif [ -e "$venv" ] && ! "$venv/bin/python" -c '' >/dev/null 2>&1; then
        rm -rf "$venv" # ours, and its Python was removed from the machine or replaced
    fi
    if [ ! -e "$venv" ]; then
        python="$(find_python)" || fail "Python 3.11 or newer is needed and none was found: install python3 (Debian 12, Ubuntu 24.04 or newer), or set PYTHON to one."
        say "making a virtual environment in $venv"
        : >"$venv.unfinished"
        create_venv "$python"
    fi
    : >"$venv/.ready"
    rm -f "$venv.unfinished"
}

# ensure_package EXTRA: installs the project as an editable package with its extra, unless this very pyproject.toml is installed already.
ensure_package() {
    extra="$1"
    ensure_venv
    mark="$venv/.installed-$extra"
    wanted="$root $(cksum <"$root/pyproject.toml")"
    if [ -e "$mark" ] && [ "$(cat "$mark")" = "$wanted" ]; then
        return 0
    fi
    say "installing napari-subtomo[$extra] and what it needs into $venv (one to three minutes, 1.5 GB)"
    room "$root" 1600 "the installation"
    rm -f "$venv"/.installed-*
    "$venv/bin/python" -m pip install -q --retries 5 -e "${root}[$extra]" </dev/null ||
        fail "pip could not install napari-subtomo[$extra]; its message is above: is the network (PyPI) reachable?"
    printf '%s\n' "$wanted" >"$mark"
}

# Libraries that Qt and OpenGL open at run time (library, Debian package), in the order of need.
window_libraries="
libEGL.so.1 libegl1
libGL.so.1 libgl1
libxkbcommon.so.0 libxkbcommon0
libdbus-1.so.3 libdbus-1-3
libfontconfig.so.1 libfontconfig1
libglib-2.0.so.0 libglib2.0-0
libxkbcommon-x11.so.0 libxkbcommon-x11-0
libxcb-cursor.so.0 libxcb-cursor0
libxcb-icccm.so.4 libxcb-icccm4
libxcb-keysyms.so.1 libxcb-keysyms1
libxcb-shape.so.0 libxcb-shape0
"

# missing_packages real|virtual: prints the Debian packages that are missing for a window on such a screen.
missing_packages() {
    printf '%s\n' "$window_libraries" | "$venv/bin/python" -c '
import ctypes, sys
for library, package in (line.split() for line in sys.stdin if line.strip()):
    try:
        ctypes.CDLL(library)
    except OSError:
        print(package)
'
    if [ "$1" = virtual ]; then
        command -v Xvfb >/dev/null 2>&1 && command -v xvfb-run >/dev/null 2>&1 || echo xvfb
        command -v xauth >/dev/null 2>&1 || echo xauth
    fi
}

# ensure_window real|virtual: true when a window can be opened; what is missing and can't be installed is left in $missing.
ensure_window() {
    missing="$(missing_packages "$1" | tr '\n' ' ')"
    missing="${missing% }"
    [ -z "$missing" ] && return 0
    # shellcheck disable=SC2086
    apt_install $missing || return 1
    missing=""
}
