"""The agents that an agent may call (`[sub_agents]`), as tools; imported by those alone.

`opening` is the one door: `toolbox` offers the children for a turn, `child` asks one of
them, `directory` knows the fleet, `answering` passes on what a child says.
"""
