"""Find, read, check and rewrite network files. This package takes and returns ONNX graphs and handles no video
frames.

spec        what is known about a network           library       finds and reads files by name or path
validate    refuses files that are not usable       metadata      a file's own description, in gansr.* properties
analysis    receptive field and memory of a graph   user_folders  the user's model and cache folders
rewrite     turns a graph into an equivalent one
"""
