"""The command `weft`: argument parsing only."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from weft import __version__, hooks

if TYPE_CHECKING:
    from weft.config import Config


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
@click.option("--backend", metavar="NAME", default="", help="Dataplane: linux or ovn, which it starts itself [linux].")
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
    backend: str,
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
        backend=backend,
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


@main.command()
@click.option(
    "--state-dir", metavar="DIR", default="", help="State folder of a stopped `weft up` [~/.local/state/weft]."
)
def down(state_dir: str) -> None:
    """Take this machine's dataplane away, which a stopped `weft up` leaves: packets no longer flow.

    Ends OVN's daemons and removes the namespaces. The state folder stays, and the next `weft up` makes everything again.
    """
    from weft import down as taking
    from weft import installed
    from weft import up as installation

    try:
        gone = taking.take_away(installed.remembered(state_dir))
    except (installation.UpError, OSError) as error:
        _fail("down", error, getattr(error, "code", 1))
    click.echo("\n".join(gone) or "there was nothing")


STATE_DIR = click.option(
    "--state-dir", metavar="DIR", default="", help="State folder of the `weft up` that runs [~/.local/state/weft]."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
CLOUD = click.option(
    "--cloud", metavar="NAME", default="weft-admin", help="Cloud of clouds.yaml to act as [weft-admin]."
)


def _fail(command: str, error: Exception, code: int = 1) -> NoReturn:
    click.echo(f"weft {command}: {error}", err=True)
    sys.exit(code)


@main.command()
@click.option("--config", metavar="FILE", multiple=True, help="Configuration file; may be given more than once.")
@click.option("--state-dir", metavar="DIR", default="", help="Folder for what must survive [~/.local/state/weft].")
@click.option("--listen", metavar="ADDR", default="", help="Address of the API [127.0.0.1].")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the API [9696]; 0: any free one.")
@click.option("--allow-remote", is_flag=True, help="Let --listen be no loopback address; tokens travel unencrypted.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON when ready.")
def serve(
    config: tuple[str, ...], state_dir: str, listen: str, port: int | None, allow_remote: bool, as_json: bool
) -> None:
    """Run the API alone, beside a Keystone of your own ([keystone_authtoken] in the configuration).

    Stays in the foreground; ^C stops it. Exit codes are those of `weft up`.
    """
    from weft import serve as service
    from weft import up as installation

    options = installation.Options(
        config=config, state_dir=state_dir, listen=listen, port=port, allow_remote=allow_remote, json=as_json
    )
    try:
        sys.exit(service.run(options))
    except installation.UpError as error:
        _fail("serve", error, error.code)


@main.command()
@click.argument("port")
@click.option("--netns", metavar="NAME", default="", help="Connect a network namespace, made when it is not there.")
@click.option("--tap", metavar="NAME", default="", help="Make a tap device for a hypervisor instead.")
@click.option("--ifname", metavar="NAME", default="eth0", help="Device inside the namespace [eth0].")
@click.option("--dhcp", is_flag=True, help="Run a DHCP client in the namespace and set its resolver.")
@click.option("--static", is_flag=True, help="Give the device the port's addresses and routes, without DHCP.")
@click.option("--timeout", type=float, default=30.0, help="Seconds to wait until the port is ACTIVE [30].")
@STATE_DIR
@CLOUD
@JSON
def plug(
    port: str,
    netns: str,
    tap: str,
    ifname: str,
    dhcp: bool,
    static: bool,
    timeout: float,
    state_dir: str,
    cloud: str,
    as_json: bool,
) -> None:
    """Connect a workload to PORT (id or name) on this machine, as a hypervisor does.

    Makes the device with the port's MAC and MTU, binds the port to this host, waits until it is ACTIVE and prints its
    addresses. Exit codes: 0 connected, 1 not, 2 wrong arguments.
    """
    if bool(netns) == bool(tap):
        raise click.UsageError("give either --netns or --tap")
    from weft import installed
    from weft import plug as plugging
    from weft import up as installation
    from weft.client import Client, ClientError, clouds_file

    wish = plugging.Wish(port, netns, tap, ifname, dhcp, static, timeout)
    try:
        config = installed.remembered(state_dir)
        plugged = plugging.plug(config, Client(clouds_file(config.state_path), cloud), wish)
    except (installation.UpError, ClientError, plugging.PlugError) as error:
        _fail("plug", error)
    if as_json:
        click.echo(json.dumps(plugged.as_dict()))
        return
    click.echo(f"port {plugged.port_id} is {plugged.status}: {plugged.device} in {plugged.where}")
    click.echo(f"  mac {plugged.mac_address}  mtu {plugged.mtu}  addresses {', '.join(plugged.addresses) or 'none'}")


@main.command()
@click.argument("port")
@STATE_DIR
@CLOUD
def unplug(port: str, state_dir: str, cloud: str) -> None:
    """Disconnect the workload of PORT (id or name) and unbind the port; a namespace stays."""
    from weft import installed
    from weft import plug as plugging
    from weft import up as installation
    from weft.client import Client, ClientError, clouds_file

    try:
        config = installed.remembered(state_dir)
        id = plugging.unplug(config, Client(clouds_file(config.state_path), cloud), port)
    except (installation.UpError, ClientError, plugging.PlugError) as error:
        _fail("unplug", error)
    click.echo(f"port {id} is disconnected")


@main.command()
@click.option("--repair", is_flag=True, help="Make the dataplane equal to the database now.")
@click.option("--config", metavar="FILE", multiple=True, help="Of a `weft serve`: its configuration file.")
@STATE_DIR
@JSON
def check(repair: bool, config: tuple[str, ...], state_dir: str, as_json: bool) -> None:
    """Examine the installation on this machine and say what to do.

    Exit codes: 0 all is well (warnings included), 1 something is wrong, 2 wrong arguments.
    """
    from weft import check as checking
    from weft import installed
    from weft import up as installation

    try:
        found_of = installed.served(config, state_dir) if config else installed.installed(state_dir)
        settings, urls, dataplane = found_of
        mended = checking.repair(settings) if repair else None
    except (installation.UpError, RuntimeError, OSError) as error:
        _fail("check", error)
    found = checking.examine(settings, checking.Urls(*urls), dataplane)
    if as_json:
        click.echo(json.dumps(checking.facts(found, mended)))
    else:
        checking.show(found, mended)
    sys.exit(1 if checking.worst(found) == checking.FAILED else 0)


CONFIG = click.option(
    "--config", metavar="FILE", multiple=True, help="Configuration file; may be given more than once."
)
FOLDER = click.option("--state-dir", metavar="DIR", default="", help="State folder [~/.local/state/weft].")
DRY = click.option("--dry-run", is_flag=True, help="Only say what would be done.")


@main.command()
@click.option("--host", metavar="NAME", default="", help="Name of this host in bindings and agents [its host name].")
@CONFIG
@FOLDER
def agent(host: str, config: tuple[str, ...], state_dir: str) -> None:
    """Run the part of the network that is this host's: on hosts of OVN, metadata. Needs root.

    By the database of the API ([database] in the configuration). Stays in the foreground; ^C stops it, and what it
    made goes on.
    """
    from weft import host as hosts
    from weft import up as installation

    try:
        hosts.run(_read("agent", config, state_dir), host, lambda: click.echo("ready", err=True))
    except (installation.UpError, ValueError) as error:
        _fail("agent", error)


@main.command("usage-audit")
@CONFIG
@FOLDER
def usage_audit(config: tuple[str, ...], state_dir: str) -> None:
    """Tell the message bus of every network, subnet, port, router and floating IP that exists."""
    from weft import errors, usage

    try:
        told = usage.tell(_read("usage-audit", config, state_dir))
    except (usage.NobodyListens, errors.ServiceUnavailable) as error:
        _fail("usage-audit", error)
    click.echo(", ".join(f"{number} {name}" for name, number in told.items()))


@main.group()
def migrate() -> None:
    """Bring the database to this version of Weft.

    `weft up` and `weft serve` make and expand it themselves when they start.
    """


@migrate.command("status")
@CONFIG
@FOLDER
@JSON
def migrate_status(config: tuple[str, ...], state_dir: str, as_json: bool) -> None:
    """How the database stands to this program, and who uses it. Exit codes: 0 up to date, 1 not."""
    from weft import errors, migrate

    try:
        report = migrate.status(_read("migrate status", config, state_dir))
    except errors.ServiceUnavailable as error:
        _fail("migrate status", error)
    click.echo(json.dumps(report.facts()) if as_json else "\n".join(report.lines()))
    sys.exit(0 if report.current else 1)


@migrate.command()
@CONFIG
@FOLDER
@DRY
def upgrade(config: tuple[str, ...], state_dir: str, dry_run: bool) -> None:
    """Expand, then contract."""
    _migrate("upgrade", config, state_dir, dry_run)


@migrate.command()
@CONFIG
@FOLDER
@DRY
def expand(config: tuple[str, ...], state_dir: str, dry_run: bool) -> None:
    """Add what this version needs; the version before runs on beside it."""
    _migrate("expand", config, state_dir, dry_run)


@migrate.command()
@CONFIG
@FOLDER
@DRY
def contract(config: tuple[str, ...], state_dir: str, dry_run: bool) -> None:
    """Remove what only older versions use; refused while a process of one still runs."""
    _migrate("contract", config, state_dir, dry_run)


@migrate.command(hidden=True)
def downgrade() -> None:
    """There is no way back; says what to do instead."""
    from weft import migrate

    _fail("migrate downgrade", migrate.Refused(migrate.NO_WAY_BACK))


@main.group()
def policy() -> None:
    """Who may do what."""


@policy.command()
@click.argument("rule")
@click.option(
    "--role", "roles", metavar="NAME", multiple=True, help="A role of the caller; may be given several times."
)
@click.option("--project", metavar="ID", default="", help="The caller's project.")
@click.option("--user", metavar="ID", default="", help="The caller.")
@click.option("--system", is_flag=True, help="The caller's token is one for the system, not for a project.")
@click.option("--object", "about", metavar="COLLECTION/ID", default="", help="What the rule is asked about.")
@click.option(
    "--attribute", "attributes", metavar="NAME=VALUE", multiple=True, help="An attribute of it, instead or besides."
)
@CONFIG
@FOLDER
@JSON
def explain(
    rule: str,
    roles: tuple[str, ...],
    project: str,
    user: str,
    system: bool,
    about: str,
    attributes: tuple[str, ...],
    config: tuple[str, ...],
    state_dir: str,
    as_json: bool,
) -> None:
    """Say whether RULE allows a caller something, and each step of the decision.

    Exit codes: 0 allowed, 1 denied, 2 wrong arguments.
    """
    from weft import explain as explaining

    if wrong := [one for one in attributes if "=" not in one]:
        raise click.BadParameter(f"{wrong[0]} is not NAME=VALUE", param_hint="--attribute")
    said = dict(one.split("=", 1) for one in attributes)
    question = explaining.Question(rule, roles, project, user, about, said, system)
    try:
        answer = explaining.answer(_read("policy explain", config, state_dir), question)
    except explaining.ExplainError as error:
        _fail("policy explain", error, 2)
    click.echo(json.dumps(answer.facts()) if as_json else "\n".join(answer.lines()))
    sys.exit(0 if answer.allowed else 1)


def _read(command: str, config: tuple[str, ...], state_dir: str) -> Config:
    from weft import config as configuration
    from weft import up as installation

    try:
        found: Config = installation.read_config(
            configuration, installation.Options(config=config, state_dir=state_dir)
        )
    except installation.UpError as error:
        _fail(command, error)
    return found


def _migrate(action: str, config: tuple[str, ...], state_dir: str, dry_run: bool) -> None:
    from weft import migrate
    from weft.store.versions import SchemaError

    try:
        migrate.run(_read(f"migrate {action}", config, state_dir), action, click.echo, dry_run)
    except (migrate.Refused, SchemaError) as error:
        _fail(f"migrate {action}", error)


for _command in hooks.every_command():
    main.add_command(_command)
