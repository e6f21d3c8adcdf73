"""Tests of the second reader. They need no vectors: the package's own sealer makes what they open."""
