# Builds the private Debian 13 root: aside, then renamed, so that a half-built root is never taken for a whole one.
build_root() {
    local target aside packages log
    target=$(root); aside="$cache/building-$$"; log="$cache/root.log"
    packages=$(grep -v '^#' "$here/packages.txt" | paste -sd, -)
    trap "rm -rf -- '$aside'" EXIT
    mkdir -p "$aside/root"
    echo "building the private Debian 13 root in $target (once, about 2 minutes; log: $log)" >&2
    local -a tool=(mmdebstrap --variant=apt "--include=$packages" "--aptopt=Acquire::Retries \"3\"")
    if [ "$(id -u)" = 0 ]; then
        "${tool[@]}" trixie "$aside/root" >"$log" 2>&1 || explain_failure "$log"
    else
        "${tool[@]}" --mode=unshare trixie - 2>"$log" | tar --extract --file=- --directory="$aside/root" \
            --exclude='./dev/*' --no-same-owner 2>>"$log" || explain_failure "$log"
    fi
    rm -rf -- "$aside/root/var/cache/apt" "$aside/root/var/lib/apt/lists"
    touch "$aside/root/.complete"
    mv -T -- "$aside/root" "$target"
}

explain_failure() {
    local log=$1
    if grep -qiE 'no space left|not enough free space' "$log"; then
        stop "set-up stopped: the disk that holds $cache is full (the root needs 4 GB); free some space or set XDG_CACHE_HOME, then run the same command again."
    elif grep -qiE 'could not resolve|temporary failure resolving|unable to connect|connection (timed out|refused|failed)|network is unreachable' "$log"; then
        stop "set-up stopped: the Debian package archive could not be reached; check the network (or proxy) and run the same command again (log: $log)."
    elif grep -qiE 'unshare|newuidmap|user namespace|operation not permitted' "$log"; then
        stop "set-up stopped: this machine does not let an ordinary user make a private root (no unprivileged user namespaces); use the conda-forge way of README.md (environment.yml) (log: $log)."
    fi
    stop "set-up stopped while building the private root: $(grep -E '^E: ' "$log" | tail -n 1) (log: $log)"
}
