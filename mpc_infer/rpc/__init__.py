"""How roles call each other: mTLS channels and servers, who may call what, errors as gRPC statuses.

Import from the modules: a client has no need of `server` and of what that installs.
"""
