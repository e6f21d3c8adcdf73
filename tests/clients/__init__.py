"""Real clients, each doing through the gateway what its users do.

    tests/clients/run [--only NAME] [--keep] [--json]

A client is one module with a `CLIENT` (client.py): what it is called, how it is installed once into the cache, and its
scenario. Its name goes into catalogue.py, and what its users must configure into docs/clients.md. A scenario gets a
`Session` (session.py): an endpoint, a directory that is its home, text that must not reach the storage in the clear,
and `step`, one line of the report. A client that is a library comes with a program, in any language, that reports the
same steps as lines of text (`Session.run_program`); programs/steps.py does so for Python.

After each scenario the frame judges by itself (inspection.py), with boto3 and with MinIO's files: nothing of the
plaintext is at the storage, every object there is sealed, and listings show the sizes of the plaintext.
"""
