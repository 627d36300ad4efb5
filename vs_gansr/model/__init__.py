"""What a network's file is: found, read, checked, rewritten. Graphs in, graphs out; knows no video and no frames.

spec        what is known of a network          library     finding and reading files, by name or path
validate    what is refused of a file           metadata    a file's description of itself
analysis    how far a network looks, off its graph user_folders where a user's own files lie
rewrite     one graph made into another that computes the same
"""
