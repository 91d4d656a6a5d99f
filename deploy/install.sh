# Installs what deploy/packages.txt lists and the machine lacks. Sourced by deploy/demo and tests/run, which set `root` to the clone.
# Asks nobody anything; uses sudo only where somebody else than root runs it and a package is missing.

# missing_packages [HEADING]: leaves out what stands under that heading, which the caller does not need.
# A package that an installed one provides counts as installed: nodejs of other archives brings npm and conflicts with Debian's.
missing_packages() {
  local provided
  provided=$(dpkg-query -W -f '${db:Status-Status}, ${Provides}\n' | sed -n 's/^installed, //p' | tr -d ' ' | tr ',' '\n' | sed 's/(.*//')
  awk -v skip="# ${1:-}" '/^#/ { skipping = ($0 == skip); next } !skipping' "$root/deploy/packages.txt" | while read -r package; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] && continue
    grep -qxF "$package" <<<"$provided" || printf '%s\n' "$package"
  done
}

install_packages() {
  local missing as_root=()
  mapfile -t missing < <(missing_packages "$@")
  [ "${#missing[@]}" -gt 0 ] || return 0
  printf 'Installing: %s\n' "${missing[*]}"
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "These packages are missing and there is no sudo; install them as root." >&2; return 1; }
    as_root=(sudo -n --)
    sudo -n true 2>/dev/null || { [ -t 0 ] && as_root=(sudo --); }
  fi
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600 -o APT::Acquire::Retries=3)
  "${apt[@]}" update </dev/null
  "${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null
}

# build PRESET: configures and builds into build/PRESET, one build at a time in a folder, with as many jobs as there are processors.
build() {
  mkdir -p "$root/build"
  (cd "$root" && flock "build/$1.lock" sh -c 'cmake --preset "$1" && cmake --build --preset "$1" -- -j "$(nproc)"' sh "$1")
}
