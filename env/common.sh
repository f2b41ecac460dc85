# Shared by env/exec and env/setup: where things live and how the private root is entered.
repo=$(dirname -- "$here")
venv="$repo/.venv"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/multiscale"

stop() { printf '%s\n' "$1" >&2; exit "${2:-1}"; }

# A root is named by what it is built from, so a changed package list never meets an old root.
root_key() { cat "$here/packages.txt" "$here/root.sh" | sha256sum | cut -c1-12; }
root() { printf '%s/root-%s' "$cache" "$(root_key)"; }

host_has_dolfinx() {
    [ "${MULTISCALE_ENV:-}" != root ] || return 1
    python3 - 2>/dev/null <<'PY'
import importlib.util, sys
if importlib.util.find_spec("dolfinx") is None or sys.version_info < (3, 12):
    sys.exit(1)
from importlib.metadata import version
sys.exit(tuple(int(x) for x in version("fenics-dolfinx").split(".")[:2]) < (0, 9))
PY
}

# "host" where the machine's own Python serves, "root" where the private one does; settled once a call.
mode() {
    if [ -z "${multiscale_mode:-}" ]; then
        if host_has_dolfinx; then multiscale_mode=host; else multiscale_mode=root; fi
    fi
    printf '%s' "$multiscale_mode"
}

# What the virtual environment was made from; a change makes it anew.
venv_key() {
    { mode; if [ "$(mode)" = host ]; then command -v python3; else root_key; fi
      cat "$here/constraints.txt"; sed '/^\[tool\./,$d' "$repo/pyproject.toml"; printf '%s' "$repo"; } | sha256sum | cut -c1-12
}

ready() {
    mode >/dev/null
    if [ "$(mode)" = root ] && [ ! -e "$(root)/.complete" ]; then return 1; fi
    [ "$(cat "$venv/.multiscale-key" 2>/dev/null)" = "$(venv_key)" ]
}

# Stops where the disk of folder $1 has less than $2 kB free; $3 says for what, $4 what else may be done.
need_space() {
    local free
    free=$(df --output=avail -k "$1" | tail -n 1)
    [ "$free" -ge "$2" ] || stop "set-up stopped: $3 needs $(( $2 / 1048576 + 1 )) GB free on the disk of $1, and only $(( free / 1048576 )) GB are; free some space$4, then run the same command again."
}

# Folder of an optional part that belongs to this root (env/optional makes it): its bin/ is on the PATH where it is there.
optional() { printf '%s/%s-%s' "$cache" "$1" "$(root_key)"; }

# Runs a command inside the private root: the system read-only from the root, everything of the user's visible.
enter_root() {
    local where dir part binds=() more=
    where=$(root)
    for part in cp2k browser pictures; do
        [ ! -e "$(optional "$part")/.complete" ] || more="$more:$(optional "$part")/bin"
    done
    part=$(optional pictures)
    if [ -e "$part/.complete" ]; then  # a library, not a program
        part=$(cd "$part" && ls -d "$PWD"/usr/lib/*-linux-gnu* | head -n 1)
        binds+=(--setenv LD_LIBRARY_PATH "$part${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}")
    fi
    for dir in /*; do
        case "${dir#/}" in
            bin|boot|dev|etc|lib*|proc|run|sbin|sys|usr|var|lost+found) continue ;;
        esac
        [ -d "$dir" ] && [ ! -L "$dir" ] || continue
        [ -d "$where$dir" ] || mkdir -p "$where$dir" 2>/dev/null || continue
        binds+=(--bind "$dir" "$dir")
    done
    for dir in /etc/resolv.conf /etc/hosts /etc/passwd /etc/group /etc/ssl /etc/pip.conf; do
        [ -e "$dir" ] || continue
        if [ ! -e "$where$dir" ] && [ ! -d "$dir" ]; then : >>"$where$dir" 2>/dev/null || continue; fi
        binds+=(--ro-bind "$(readlink -f "$dir")" "$dir")
    done
    PATH="$venv/bin:/usr/local/bin:/usr/bin:/bin$more" VIRTUAL_ENV="$venv" LANG=C.UTF-8 LC_ALL=C.UTF-8 \
    exec bwrap --ro-bind "$where" / --dev-bind /dev /dev --proc /proc --ro-bind /sys /sys --tmpfs /run --tmpfs /var/tmp \
        "${binds[@]}" --die-with-parent --chdir "$PWD" "$@"
}
