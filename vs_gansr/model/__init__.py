"""What a network's file is: found, read, checked, rewritten. Graphs in, graphs out; knows no video and no frames."""
