"""Long runs that try to break core.gansr: storms of requests, reloaded scripts, hostile files and arguments.

Each module is one of them: `main(minutes)` runs it in full, or for so long, says how it went in a line or two, and
returns True if it went well. The test suite runs all of them in a short form.
"""
