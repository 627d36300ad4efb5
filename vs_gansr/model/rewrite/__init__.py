"""Turn a graph into another one that computes the same in other arithmetic, on other samples, or faster.

graph_view      reading and editing a graph             cpu_layout      a layout that CPUs compute faster; newer opsets
float16, int8   other arithmetic                        depth_to_space  moves the last operator out of the graph
ends            frame samples as input and output       mix             mixes the results of two networks
"""
