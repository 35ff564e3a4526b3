"""Small programs of other machines, so that no cross compiler is needed. The source stands beside the bytes."""
import struct

# Called as "sh -c TEXT" it writes TEXT to /ran:
# ldr x20, [sp, #24]; mov x0, #-100; adr x1, name; mov x2, #0x241; mov x3, #0644; mov x8, #56 (openat); svc #0
# mov x1, x20; mov x2, #0; 1: ldrb w4, [x1, x2]; cbz w4, 2f; add x2, x2, #1; b 1b
# 2: mov x8, #64 (write); svc #0; mov x0, #0; mov x8, #93 (exit); svc #0; name: "/ran"
ARM64 = bytes.fromhex("f40f40f9600c809201020010224880d2833480d2080780d2010000d4e10314aa020080d2246862386400003442040091fdffff17"
                      "080880d2010000d4000080d2a80b80d2010000d42f72616e00")


def elf(machine, code):
    """A static program of 64 bits, little-endian, that is its code alone."""
    base, head = 0x400000, 64 + 56
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = ident + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, base + head, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    size = head + len(code)
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x10000) + code


def s390():
    """The header of one: 32 bits, big-endian."""
    return b"\x7fELF" + bytes([1, 2, 1]) + bytes(9) + struct.pack(">HHIIIIIHHHHHH", 2, 22, 1, 0x400000, 0, 0, 0, 52, 32, 0, 0, 0, 0)


def arm64():
    return elf(183, ARM64)
