#!/usr/bin/env bash
# Set up one node: Python, our packages at the versions of constraints.txt, the token private. Safe to run again.
# Used by cluster.yaml, gcp.yaml and local.yaml. SWEEPS_EXTRAS names extras of pyproject.toml besides `timm`.
# SWEEPS_VENV: another folder than ~/venv. SWEEPS_INSTALL=no: all is in it already (an image, a host without internet).
set -euo pipefail

code="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="${SWEEPS_VENV:-$HOME/venv}"
python="3.11"
uv_version="0.13.9"
packages=("-e" "$code${SWEEPS_EXTRAS:+[$SWEEPS_EXTRAS]}" "ray[default]" "timm")

install_packages() {
    export PATH="$HOME/.local/bin:$PATH"
    if ! command -v uv >/dev/null; then
        curl --proto '=https' -LsSf "https://astral.sh/uv/$uv_version/install.sh" | env UV_NO_MODIFY_PATH=1 sh
    fi
    [ -x "$venv/bin/python" ] || uv venv --quiet --python "$python" "$venv"
    uv pip install --quiet --python "$venv/bin/python" --constraint "$code/cluster/constraints.txt" "${packages[@]}" "$@"
}
[ "${SWEEPS_INSTALL:-yes}" = no ] || install_packages "$@"

# First lines of .bashrc: the shells that Ray opens over ssh find `ray`, and only with the token
marker="# sweeps: set by cluster/setup_node.sh"
touch "$HOME/.bashrc"
if ! grep -qF "$marker" "$HOME/.bashrc"; then
    {
        echo "$marker"
        echo "export PATH=\"$venv/bin:\$PATH\" RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0"
        cat "$HOME/.bashrc"
    } >"$HOME/.bashrc.sweeps"
    mv "$HOME/.bashrc.sweeps" "$HOME/.bashrc"
fi

if [ ! -s "$HOME/.ray/auth_token" ]; then
    echo "no token in ~/.ray/auth_token: run 'ray get-auth-token --generate' where you run 'ray up'" >&2
    exit 1
fi
chmod 700 "$HOME/.ray"
chmod 600 "$HOME/.ray/auth_token"
"$venv/bin/python" -c "import ray, torch; print('node ready: ray', ray.__version__, 'torch', torch.__version__)"
