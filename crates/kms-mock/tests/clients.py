#!/usr/bin/env python3
"""Compares the key server with what boto3's KMS client and the AWS command line expect of AWS KMS.

Every row of the printed table is one case: what was asked, and what each client made of the answer. A case passes when
the client parses the response into the members that its own service model declares for the operation, with the values
expected here, or raises the exception class and HTTP status that AWS answers with.

The server must be freshly started, with one principal that may do everything and one that may only call Decrypt:

    clients.py --endpoint URL --access-key-id ID --limited-access-key-id ID [--region us-east-1] [--ca-bundle FILE]
               [--aws PATH] [--moto URL]

The secrets come from KMS_SECRET_ACCESS_KEY and KMS_LIMITED_SECRET_ACCESS_KEY. With --moto the same calls go to a moto
server as well, and the members of both responses are compared. Needs boto3 and awscli (tried: 1.44.5 and 1.46.3).
"""

import argparse
import os
import shutil
import sys

from client_checks import authentication, command_line, errors, moto, operations
from client_checks.common import Checks, client


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--access-key-id", required=True)
    parser.add_argument("--limited-access-key-id", required=True)
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--ca-bundle")
    parser.add_argument("--aws", default=None, help="the aws program; unless given, the one beside this Python, or of PATH")
    parser.add_argument("--moto", help="endpoint of a moto server to compare with")
    options = parser.parse_args()
    beside = os.path.join(os.path.dirname(sys.executable), "aws")
    options.aws = options.aws or (beside if os.path.exists(beside) else shutil.which("aws"))
    if not options.aws:
        sys.exit("the aws command line is missing: pip install awscli==1.46.3, or give --aws PATH")
    try:
        options.secret = os.environ["KMS_SECRET_ACCESS_KEY"]
        options.limited_secret = os.environ["KMS_LIMITED_SECRET_ACCESS_KEY"]
    except KeyError as missing:
        sys.exit(f"the environment variable {missing} is not set")

    checks = Checks()
    kms = client(options, options.access_key_id, options.secret)
    keys = operations.run(options, checks, kms)
    errors.run(options, checks, kms, keys)
    authentication.run(options, checks, keys)
    command_line.run(options, checks, keys)
    if options.moto:
        moto.run(options, checks, kms)
    sys.exit(checks.report())


if __name__ == "__main__":
    main()
