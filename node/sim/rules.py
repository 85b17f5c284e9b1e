"""What an auditor of the reference model knows: the constants of its deployment."""

from __future__ import annotations

from node.audit.base import AuditRules
from node.sim.ledger import Ledger


def audit_rules(ledger: Ledger, *, guideline_hash: bytes | None = None) -> AuditRules:
    """Rules of a ledger; ``guideline_hash`` where it is not the deployment's."""
    deployment = ledger.deployment
    return AuditRules(
        chain_id=deployment.chain_id,
        contracts=ledger.addresses,
        params=deployment.params,
        court_params=deployment.court,
        scoring=deployment.scoring,
        emission=deployment.emission,
        registry=deployment.registry,
        governance=deployment.governance,
        genesis_model_hash=deployment.genesis.model_hash,
        guideline_hash=deployment.guideline_hash if guideline_hash is None else guideline_hash,
        committee=deployment.seats,
        guardian=deployment.brake,
        guardian_until=deployment.deployed_at + deployment.governance.guardian_term,
    )
