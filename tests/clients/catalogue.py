"""Every client, in the order in which they run."""

from .scenarios import aws_cli, libraries, mc, rclone, restic, s3cmd, sdks

CLIENTS = [
    *aws_cli.CLIENTS,
    *libraries.CLIENTS,
    *(module.CLIENT for module in (mc, rclone, restic, s3cmd)),
    *sdks.CLIENTS,
]
