"""The places a release can go to: a machine over SSH, or this one, behind one protocol."""
