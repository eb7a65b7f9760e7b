"""The outside world behind the ports: model back ends, tools, stores, clocks."""
