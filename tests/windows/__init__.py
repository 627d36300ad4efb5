"""Run the tests on Windows' Python under Wine; the tests in here are about what is different on Windows."""
