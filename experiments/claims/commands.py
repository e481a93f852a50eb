"""The command that settles claims."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from experiments.shared.files import make_folder
from experiments.shared.options import Scheduler
from spu_circuit.errors import InputError

console = Console()


def claims(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Which claims. Default: all.")] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Of the claim 'language': questions in the format of SQuAD v1.1.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer seeds and sizes: minutes for all.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="Folder of results, tables, figures and page. Default: runs/claims[-quick]."),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Claims at a time. They change no result.")] = 1,
    scheduler: Scheduler = None,
) -> None:
    """Test claims about thermodynamic natural gradient descent, each by a rule fixed before, and give verdicts.

    Writes one page with a table of verdicts on top, CSV files and figures, of these claims and of all that are finished
    in the folder. What is finished is not computed again.
    """
    from experiments.claims.report import write_reports
    from experiments.claims.run import results
    from experiments.claims.statements import CLAIMS, claim_named
    from experiments.claims.store import digest_of, kept

    output = output or Path("runs/claims-quick" if quick else "runs/claims")
    kind = " (quick)" if quick else ""
    chosen = [claim_named(name).name for name in dict.fromkeys(names or CLAIMS)]
    of_data = digest_of(data)
    unknown = [CLAIMS[name] for name in chosen if kept(output, CLAIMS[name], quick, of_data) is None]
    left = [(claim, reason) for claim in unknown if (reason := claim.missing(data))]
    if names and left:
        raise InputError(f"claim: {left[0][0].name!r} cannot be run: {left[0][1]}")
    make_folder(output)
    found = {}
    lacking = [claim.name for claim, _ in left]
    chosen = [name for name in chosen if name not in lacking]
    try:
        for result in results(chosen, quick, output, workers, scheduler, data):
            found[result.claim.name] = result
            console.print(f"{result.claim.name}: {result.verdict.kind}{kind}", highlight=False)
    except KeyboardInterrupt:
        console.print(f"Stopped. What is finished is in {output}; the same command goes on from there.")
        raise typer.Exit(130) from None
    before = {name: kept(output, claim, quick, of_data) for name, claim in CLAIMS.items() if name not in found}
    finished = found | {name: result for name, result in before.items() if result}
    write_reports([finished[name] for name in CLAIMS if name in finished], left, output)
    table = Table("claim", f"verdict{kind}", "holds in", box=None)
    for result in (found[name] for name in chosen):
        table.add_row(result.claim.name, result.verdict.kind, result.verdict.shares)
    for claim, reason in left:
        table.add_row(claim.name, "not run", reason)
    console.print(table)
    console.print(f"Page: {output / 'claims.html'}", highlight=False)
