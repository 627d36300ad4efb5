"""One graph made into another that computes the same: for other arithmetic, other samples, or faster.

graph_view      finding one's way in a graph        cpu_layout      a form that CPUs compute faster; newer operators
float16, int8   other arithmetic                    depth_to_space  the last step, done while writing
ends            samples as frames store them, at both ends
"""
