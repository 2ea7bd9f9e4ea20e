# Sourced by ./demo and ./test: finds what a fresh Debian machine lacks and installs it through its package manager.

LEFT_OUT=()

need_rust() {
  command -v cargo >/dev/null && return
  [ -x "$HOME/.cargo/bin/cargo" ] && PATH="$HOME/.cargo/bin:$PATH" && return
  echo "error: no cargo found; install Rust from https://rustup.rs and run this again" >&2
  exit 2
}

# need_packages COMMAND-OR-FILE:PACKAGE...  installs the packages whose command or file is not there.
need_packages() {
  local missing=() pair probe
  for pair in "$@"; do
    probe=${pair%%:*}
    # A probe with a slash is a file, perhaps a pattern.
    case $probe in
      */*) compgen -G "$probe" >/dev/null || missing+=("${pair#*:}") ;;
      *) command -v "$probe" >/dev/null || missing+=("${pair#*:}") ;;
    esac
  done
  [ ${#missing[@]} -eq 0 ] && return
  local sudo=
  [ "$(id -u)" = 0 ] || sudo=sudo
  echo "installing: ${missing[*]}"
  if ! { $sudo apt-get update -q && DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -q --no-install-recommends "${missing[@]}"; } \
      >/tmp/tollbook-apt.log 2>&1; then
    tail -n 5 /tmp/tollbook-apt.log >&2
    LEFT_OUT+=("what needs ${missing[*]}: the packages could not be installed")
  fi
}

# Licences of all dependencies, and known advisories where their database can be had.
deny() {
  if ! command -v cargo-deny >/dev/null; then
    cargo install --locked --quiet cargo-deny || { LEFT_OUT+=("licence check: cargo-deny could not be installed"); return; }
  fi
  cargo deny --log-level error check licenses bans sources
  if ! cargo deny --log-level error fetch db >/dev/null 2>&1; then
    # Not a failure of the build: the database is outside the package registries.
    echo "advisories: their database cannot be reached from here, not checked"
    return
  fi
  cargo deny --log-level error check advisories
}
