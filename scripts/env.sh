# Sourced by the scripts: makes .venv if absent, installs the project into it, and puts it on PATH.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
stamp="$root/.venv/.installed"
if [ ! -e "$stamp" ] || [ "$root/pyproject.toml" -nt "$stamp" ]; then
    echo "installing into .venv (TensorFlow is about 650 MB; some minutes on the first run) ..." >&2
    python=$(command -v python3.11 || command -v python3)
    [ -x "$root/.venv/bin/python" ] || "$python" -m venv "$root/.venv"
    "$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check -e "$root[dev]"
    touch "$stamp"
fi
export PATH="$root/.venv/bin:$PATH"
