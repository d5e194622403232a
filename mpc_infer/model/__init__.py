"""A model as it is published: its manifest, its package for the parties, and a party's share of its weights.

Import from the modules: :mod:`~mpc_infer.model.manifest` alone needs no secret sharing, and is all that the
coordinator may use.
"""
