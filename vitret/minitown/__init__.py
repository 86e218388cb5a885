"""The synthetic town: landmarks by a small architectural grammar, photographed by a virtual camera."""
