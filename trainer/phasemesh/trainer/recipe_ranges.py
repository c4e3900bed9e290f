"""What every number of a recipe may be."""

from __future__ import annotations

from phasemesh.sim_harness.scenarios.city import MAX_CITY

RANGES: dict[str, dict[str, tuple[float, float]]] = {
    "learner": {
        "learning_rate": (1e-7, 1.0),
        "final_rate": (0.0, 1.0),
        "anneal_iterations": (1, 1e9),
        "gamma": (0.0, 1.0),
        "lambda_": (0.0, 1.0),
        "clip": (1e-3, 1.0),
        "epochs": (1, 100),
        "share_per_epoch": (0.01, 1.0),
        "decisions_per_epoch": (1, 1e9),
        "segment_ticks": (1, 10_000),
        "rows_per_batch": (1, 1e6),
        "policy_weight": (0.0, 100.0),
        "entropy_weight": (0.0, 10.0),
        "value_weight": (0.0, 100.0),
        "max_grad_norm": (1e-6, 1e6),
        "critic_iterations": (0, 1e6),
    },
    "heads": {"count": (1, 256), "entropy_weight": (0.0, 10.0), "final_entropy_weight": (0.0, 10.0)},
    "mask": {"prior": (1e-3, 1.0 - 1e-3), "weight": (0.0, 1e3), "temperature": (0.01, 10.0)},
    "reward": {
        "spatial_discount": (0.0, 1.0),
        "spatial_reach": (0, 1e3),
        "first_own_share": (0.01, 1.0),
        "share_rate": (0.0, 1e3),
    },
    "warm_start": {
        "teacher_shares": (0.0, 1.0),
        "cities": (1, 1000),
        "length_s": (60.0, 86_400.0),
        "epochs": (1, 1000),
        "segment_ticks": (1, 10_000),
        "rows_per_batch": (1, 1e6),
        "learning_rate": (1e-7, 1.0),
        "sharpness": (0.1, 100.0),
    },
    "planner": {
        "horizon_s": (1.0, 600.0),
        "margin_veh_s": (0.0, 1e4),
        "futures": (1, 100),
        "reach": (0, 100),
        "looks": (0.001, 1.0),
        "shares": (0.0, 1.0),
        "temperature_veh_s": (1e-3, 1e4),
        "learning_rate": (1e-7, 1.0),
        "rounds": (1, 1000),
    },
    "episodes": {
        "per_iteration": (1, 1000),
        "agents": (1, 1000),
        "tick_s": (1.0, 60.0),
        "length_s": (10.0, 86_400.0),
        "city_length_s": (10.0, 86_400.0),
        "demand": (0.01, 10.0),
        "message_losses": (0.0, 1.0),
        "cities": (0, MAX_CITY),
    },
    "randomisation": {
        "ticks_s": (1.0, 60.0),
        "detector_noise": (0.0, 0.5),
        "detector_outage": (0.0, 0.9),
        "outage_s": (1.0, 86_400.0),
        "message_delay": (0.0, 1.0),
    },
}
"""The least and greatest value of every number, lists included."""
