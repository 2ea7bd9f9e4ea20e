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

# The official rules of e-invoices, from Maven Central into Maven's own store: the test finds them there. Mustang brings veraPDF,
# Saxon and the schemas with it; the others are Schematron compiled by CEN, KoSIT and OpenPeppol. Keep in step with
# invoicing/tests/einvoice.rs.
einvoice_rules() {
  local artifact
  for artifact in org.mustangproject:validator:2.22.0:jar:shaded com.helger.phive.rules:phive-rules-en16931:4.3.7 \
      com.helger.phive.rules:phive-rules-xrechnung:4.2.3 com.helger.phive.rules:phive-rules-peppol:4.3.7; do
    if ! mvn -q -B dependency:get -Dtransitive=false "-Dartifact=$artifact" >/tmp/tollbook-mvn.log 2>&1; then
      tail -n 3 /tmp/tollbook-mvn.log >&2
      LEFT_OUT+=("e-invoices by the official rules: $artifact cannot be had from Maven Central")
      return
    fi
  done
}

# The jars of a real Kafka broker, from Maven Central: the tests start it.
kafka_broker() {
  [ -n "$(compgen -G 'target/kafka/kafka_2.13-*.jar')" ] && return
  if ! mvn -q -B -f tests/kafka/pom.xml dependency:copy-dependencies "-DoutputDirectory=$PWD/target/kafka" >/tmp/tollbook-mvn.log 2>&1; then
    tail -n 3 /tmp/tollbook-mvn.log >&2
    rm -rf target/kafka
    LEFT_OUT+=("the event log on Kafka: the broker cannot be had from Maven Central")
  fi
}

# Makes up requests from the API's own description; kept beside what is built.
need_schemathesis() {
  [ -x target/schemathesis/bin/schemathesis ] && return
  { python3 -m venv target/schemathesis && target/schemathesis/bin/pip install --quiet 'schemathesis==4.32.5'; } \
    >/tmp/tollbook-pip.log 2>&1 && return
  tail -n 5 /tmp/tollbook-pip.log >&2
  rm -rf target/schemathesis
  LEFT_OUT+=("the API against its description: schemathesis could not be installed")
}

# Judges pages by the rules of WCAG; a package that brings the rules as a script, for the tests alone.
need_axe() {
  [ -n "$(compgen -G 'target/axe/lib/python3*/site-packages/axe_playwright_python/axe.min.js')" ] && return
  { python3 -m venv target/axe && target/axe/bin/pip install --quiet --no-deps 'axe-playwright-python==0.1.8'; } \
    >/tmp/tollbook-pip.log 2>&1 && return
  tail -n 5 /tmp/tollbook-pip.log >&2
  rm -rf target/axe
  LEFT_OUT+=("pages by the rules of WCAG: axe could not be installed")
}

# A server that speaks S3, with conditional writes: the lake's tests keep their files there. Objects are files of its directory.
need_versitygw() {
  [ -x target/versitygw/versitygw ] && return
  [ -x /usr/local/go/bin/go ] && PATH="$PATH:/usr/local/go/bin"
  # Debian's is too old for it.
  command -v go >/dev/null || { LEFT_OUT+=("the lake on S3: no Go found; install 1.26 from https://go.dev/dl"); return; }
  GOBIN="$PWD/target/versitygw" GOFLAGS=-modcacherw go install github.com/versity/versitygw/cmd/versitygw@v1.8.0 \
    >/tmp/tollbook-go.log 2>&1 && return
  tail -n 5 /tmp/tollbook-go.log >&2
  LEFT_OUT+=("the lake on S3: versitygw could not be installed")
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
