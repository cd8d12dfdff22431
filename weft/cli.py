"""The command `weft`: argument parsing only."""

from __future__ import annotations

import sys

import click

from weft import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="weft")
def main() -> None:
    """OpenStack Networking on one machine."""


@main.command()
@click.option("--state-dir", metavar="DIR", default="", help="Folder for all that must survive [~/.local/state/weft].")
@click.option("--listen", metavar="ADDR", default="", help="Address of both services [127.0.0.1].")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the Networking API [9696]; 0: any free one.")
@click.option(
    "--identity-port", type=click.IntRange(0, 65535), default=5000, help="Port of the Keystone stand-in [5000]."
)
@click.option("--no-dataplane", is_flag=True, help="The API alone: no packets, no root needed.")
@click.option("--external-cidr", metavar="CIDR", default="", help="Address of this machine on the external network.")
@click.option("--namespace", metavar="NAME", help="Network namespace that holds the dataplane [weft].")
@click.option("--config", metavar="FILE", multiple=True, help="Configuration file; may be given more than once.")
@click.option("--host", metavar="NAME", default="", help="Name of this host in bindings and agents [its host name].")
@click.option("--allow-remote", is_flag=True, help="Let --listen be no loopback address; passwords travel unencrypted.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON when ready.")
def up(
    state_dir: str,
    listen: str,
    port: int | None,
    identity_port: int,
    no_dataplane: bool,
    external_cidr: str,
    namespace: str | None,
    config: tuple[str, ...],
    host: str,
    allow_remote: bool,
    as_json: bool,
) -> None:
    """Run everything: the API, the Keystone stand-in and this machine's dataplane.

    Stays in the foreground; ^C stops it. Exit codes: 0 stopped as asked, 1 could not start, 2 wrong arguments,
    3 runs already on this folder, 4 a port is taken.
    """
    from weft import up as installation

    options = installation.Options(
        state_dir=state_dir,
        listen=listen,
        port=port,
        identity_port=identity_port,
        dataplane=not no_dataplane,
        external_cidr=external_cidr,
        namespace=namespace,
        config=config,
        host=host,
        allow_remote=allow_remote,
        json=as_json,
    )
    try:
        sys.exit(installation.run(options))
    except installation.UpError as error:
        click.echo(f"weft up: {error}", err=True)
        sys.exit(error.code)
