"""python -m deployment.serve MODEL: answer images over HTTP with a deployed model. Research use only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.command_line import new_app, refuse_unused, start
from deployment.service.settings import LOOPBACK, MEGABYTE, Settings, check_reach, read_token
from trainables.errors import InputError, pip_install

app = new_app()
EXAMPLES = """Examples:

  python -m deployment.serve latest

  python -m deployment.serve breast@production --port 9000

  python -m deployment.serve model.onnx --host 0.0.0.0 --token-file token --allow-host scans.example.org
"""


@app.command(epilog=EXAMPLES)
def serve(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A run, NAME@ALIAS or NAME@VERSION, .onnx or .pt2.")],
    host: Annotated[str, typer.Option(help="Address to listen on; others than loopback need a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Token, mode 0600; or in SWEEPS_SERVE_TOKEN.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A further name of this service; may be given again.")
    ] = None,
    max_megabytes: Annotated[int, typer.Option(min=1, max=4096, help="Size of a request.")] = 32,
    max_pixels: Annotated[int, typer.Option(min=1, max=2**30, help="Of an image or volume, before it is decoded.")] = (
        25_000_000
    ),
    max_images: Annotated[int, typer.Option(min=1, max=1000, help="Of a request.")] = 64,
    queue: Annotated[int, typer.Option(min=1, max=10_000, help="Requests in work; more get 503.")] = 64,
    timeout: Annotated[int, typer.Option(min=1, max=3600, help="Seconds for an answer, once its images are there.")] = (
        60
    ),
    threads: Annotated[int, typer.Option(min=0, max=1024, help="Of ONNX Runtime; 0: all processors.")] = 0,
    ray: Annotated[bool, typer.Option("--ray", help="On Ray Serve: replicas of the network over a cluster.")] = False,
    address: Annotated[str | None, typer.Option(help="With --ray: a cluster, as auto; else a Ray of its own.")] = None,
    replicas: Annotated[int, typer.Option(min=1, max=1000, help="With --ray: networks.")] = 2,
    trial: Annotated[str, typer.Option(help="Of a run: best (by validation), or a trial's id.")] = "best",
    registry: Annotated[str | None, typer.Option(help="URI of an MLflow registry (default: in the results).")] = None,
    storage: Annotated[str, typer.Option(help="Folder or URI of the results.")] = "results",
) -> None:
    """Answer images over HTTP: /predict, /model, /metrics, /health, /ready, and a page to try an image by hand.

    Ends on SIGTERM or SIGINT, once every request that it accepted is answered.
    """
    if not ray:
        refuse_unused(context, ["replicas", "address"], "without --ray there is one process")
    token = read_token(token_file)
    check_reach(host, token)
    settings = Settings(
        host=host, port=port, hosts=host_names(host, allow_host or []), token=token, body=max_megabytes * MEGABYTE,
        images=max_images, pixels=max_pixels, queue=queue, answer=float(timeout),
    )  # fmt: skip
    try:
        from deployment.prediction.resolve_model import open_model, refuse_unused_options
        from deployment.service.run_server import run
    except ModuleNotFoundError as error:
        raise InputError(f"serving needs the package {error.name}: {pip_install('serve')}") from None

    refuse_unused_options(context, model)
    artefact = open_model(model, storage, registry, trial, threads)
    if ray:
        try:
            from deployment.service.ray_server import run_on_ray
        except ImportError:
            raise InputError("--ray needs Ray Serve: pip install 'ray[serve]'") from None

        run_on_ray(artefact, settings, replicas, threads, address)
    else:
        run(artefact, settings)


def host_names(host: str, others: list[str]) -> tuple[str, ...]:
    """Return the names by which a service may be asked: loopback's, its own, and those that were given."""
    own = [] if host in ("0.0.0.0", "::") else [f"[{host}]" if ":" in host else host]
    return tuple(dict.fromkeys(name.lower() for name in (*LOOPBACK, *own, *others)))


if __name__ == "__main__":
    start(app)
