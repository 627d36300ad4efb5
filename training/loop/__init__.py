"""Train: the step, the loop, the judges' side, the balance of the losses."""
