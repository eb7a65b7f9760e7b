"""What each operation of the management API is called in a list of them; a few words."""

from collections.abc import Mapping

SUMMARIES: Mapping[str, str] = {
    "health": "The daemon's health",
    "list_agents": "Every agent",
    "list_agents_flock": "Every agent, as Flock tells them",
    "show_agent": "One agent",
    "read_logs": "What an agent printed",
    "read_events": "What happened, and what happens",
    "read_agent_events": "What happened to one agent",
    "reload": "Read the agents directory again",
    "upgrade": "Run the daemon's new program",
    "openapi": "This description",
    "swagger_ui": "Swagger UI",
    "redoc": "Redoc",
    "scalar": "Scalar",
    "run_agent": "Run one agent",
    "run_flock": "Run a workflow",
    "list_runs": "Runs, newest first",
    "read_run": "One run",
    "delete_run": "Forget a run",
    "read_run_events": "What happens to a run",
    "cancel_run": "End a run",
    "run_batch": "Run an agent once for each row",
    "read_batch": "One batch",
    "health_v1": "The daemon's health, under the base URL",
    "list_services": "Every service",
    "create_service": "Start a service from a recipe",
    "show_service": "One service",
    "stop_service": "Stop a service",
    "service_status": "The state of a service",
    "set_service_status": "End a service, the source system's other way",
    "service_endpoint": "A service's own address and key",
    "service_logs": "What a service printed",
    "service_metrics": "A service's metrics, for Prometheus",
    "list_service_groups": "Every group of replicas",
    "list_recipes": "Every recipe",
    "show_recipe": "One recipe",
    "start_agent": "Start an agent",
    "stop_agent": "Stop an agent",
    "restart_agent": "Restart an agent",
    "list_vllm_services": "Every model server",
    "prompt_service": "Send a prompt to a model server",
    "list_service_models": "The models of a service",
}
"""By operation id."""

TAGS: Mapping[str, str] = {
    "daemon": "The daemon itself, and this reference.",
    "agents": "The fleet: which agents there are, how they are, starting and stopping them.",
    "events": "What happened to agents and to the daemon.",
    "flock": "Flock's routes: recorded runs of agents, workflows and batches.",
    "services": "MeluXina's routes: model servers and others, here or on a cluster.",
    "recipes": "What services can be made of.",
    "vllm": "Prompts to services that are model servers.",
}
"""What the groups of operations are."""
