"""Which network interface has an address (Linux). Imports nothing of ours."""

import fcntl
import socket
import struct

_SIOCGIFADDR = 0x8915


def interface_with(address: str) -> str:
    """The name of the interface of this network namespace that has an IPv4 address.

    Raises:
        LookupError: none has it.
    """
    for _, name in socket.if_nameindex():
        if _address_of(name) == address:
            return name
    raise LookupError(f"no interface here has the address {address}: is this the right network namespace?")


def _address_of(name: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("256s", name.encode()))
        except OSError:  # an interface without an IPv4 address
            return ""
    return socket.inet_ntoa(answer[20:24])
