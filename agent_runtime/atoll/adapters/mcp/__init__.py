"""Tools of servers that speak the Model Context Protocol, by the official SDK.

The SDK is the extra `mcp` and brings pydantic with it, so nothing outside this
package imports it, and this package is imported only for an agent whose
manifest names a server (`atoll.loop.opening`).
"""
