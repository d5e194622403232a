"""Generated from protos/mpc_infer/v1 by `make protos`. Do not edit."""
