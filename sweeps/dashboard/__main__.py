"""python -m sweeps.dashboard [RESULTS]: a page in the browser that shows runs while they go on and after."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.command_line import new_app, start

app = new_app()
EXAMPLES = """
[bold]Examples[/bold]

  python -m sweeps.dashboard

  python -m sweeps.dashboard results/activations/RUN_ID --open

  python -m sweeps.dashboard s3://bucket/results --port 8089

  python -m sweeps.dashboard --control
"""


@app.command(epilog=EXAMPLES)
def dashboard(
    results: Annotated[str, typer.Argument(help="Folder or URI of the results, or of one run.")] = "results",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: one that is free.")] = 8088,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    control: Annotated[
        bool, typer.Option("--control", help="Let the page stop trials and end runs, through their drivers.")
    ] = False,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's own loopback needs a token.")
    ] = "127.0.0.1",
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with the token, mode 0600; made where it is missing ($SWEEPS_DASHBOARD_TOKEN)."),
    ] = None,
) -> None:
    """Show runs in a browser: on this machine, without an account, from their files alone."""
    from sweeps.dashboard.serve import serve

    serve(results, host, port, token_file, open_, control)


if __name__ == "__main__":
    start(app)
