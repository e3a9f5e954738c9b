"""What is wrong with an image: scanners behind one protocol, a file each, and the gate that judges what they find."""
