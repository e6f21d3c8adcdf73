"""Every client, in the order in which they run."""

from .scenarios import aws_cli, libraries, mc, rclone, restic, s3cmd

CLIENTS = [module.CLIENT for module in (aws_cli, mc, rclone, restic, s3cmd)] + libraries.CLIENTS
