"""Every client, in the order in which they run."""

from .scenarios import aws_cli, s3cmd

CLIENTS = [module.CLIENT for module in (aws_cli, s3cmd)]
