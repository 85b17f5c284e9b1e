"""The auditor: rebuilds what the contracts say happened from public records alone, and names the first difference."""
