"""Ingress rules: what people, files and dashboards say about where requests go, and what becomes of it. All pure."""
