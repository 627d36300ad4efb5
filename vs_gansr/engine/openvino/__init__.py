"""Run networks in OpenVINO's own runtime, through its C library."""
