# METADATA
# title: Tests of the default gate policy
# description: |
#   Goal: every ground for an allow is needed, every optional kind of rule does what README.md says, and malformed
#   input or data is a denial. Method: one request that is allowed; each test changes one thing in it.
#   Run with `opa test policies/gate.rego policies/gate_test.rego policies/data.json`; the same tests are also compiled
#   to WebAssembly and run there by the test suite of the gate.
package gate_test

import data.gate

reader := "spiffe://example.org/finance/reader"

instance := "spiffe://example.org/finance/reader/inst-a1b2c"

parent := "spiffe://example.org/finance/inst-00000"

request := {
	"agent": {"identity": reader, "instance": instance, "owner": "owner:k", "depth": 1, "verified_by": "agent_signature"},
	"chain": [
		{"instance": parent, "scope": ["*:reports/**", "read:**"]},
		{"instance": instance, "scope": ["read:transactions", "write:reports"]},
	],
	"action": "read:transactions",
	"action_properties": {},
	"resource": {"type": "table", "id": "postgres://finance-db/transactions", "properties": {}},
	"context": {},
	"approvals": [],
	"now_ms": 1700000000000,
	"state_size": 42,
}

default_rules := [{"name": "chain-scope", "identity": ["**"], "actions": ["*:**"]}]

shipped := {"rules": default_rules, "deny_rules": [], "approval_rules": []}

patched(changes) := json.unmarshal(json.marshal(object.union(request, changes)))

# The decision on a request under the shipped rules with some of them replaced.
decide(req, rules) := decision if {
	all := object.union(shipped, rules)
	decision := gate.decision with input as req
		with data.rules as all.rules
		with data.deny_rules as all.deny_rules
		with data.approval_rules as all.approval_rules
}

denied_for(req, rules, reason) if {
	decision := decide(req, rules)
	decision.effect == "deny"
	decision.reasons == [reason]
}

allowed(req, rules) if {
	decision := decide(req, rules)
	decision.effect == "allow"
	decision.reasons == []
}

# ------------------------------------------------------------------------------------------------------------ shape

test_allows_what_the_chain_covers if {
	decide(request, {}) == {"effect": "allow", "reasons": [], "matched": ["chain-scope"], "obligations": []}
}

test_allows_product_example_write_reports if allowed(patched({"action": "write:reports"}), {})

test_empty_input_is_denied if decide({}, {}).effect == "deny"

test_empty_data_is_denied if denied_for(request, {"rules": []}, "no_rule_grants")

test_every_reason_is_given_sorted if {
	decision := decide(object.remove(request, ["agent"]), {})
	decision.effect == "deny"
	decision.reasons == ["chain_mismatch", "identity_unverified", "input_malformed", "no_rule_grants"]
}

# --------------------------------------------------------------------------------------------------------- identity

with_verified(value) := patched({"agent": {"verified_by": value}})

test_each_way_of_verifying_is_accepted if {
	every way in ["agent_signature", "mtls_peer", "enforcement_point"] {
		allowed(with_verified(way), {})
	}
}

test_unverified_identity_is_denied if {
	every way in ["", "none", "AGENT_SIGNATURE", true, null, 1, ["mtls_peer"]] {
		denied_for(with_verified(way), {}, "identity_unverified")
	}
}

test_absent_verification_is_denied if {
	agent := object.remove(request.agent, ["verified_by"])
	denied_for(object.union(object.remove(request, ["agent"]), {"agent": agent}), {}, "identity_unverified")
}

# ------------------------------------------------------------------------------------------------------------ chain

test_every_link_must_cover if {
	denied_for(patched({"action": "delete:transactions"}), {}, "scope_not_in_chain")
	denied_for(patched({"chain": [{"instance": parent, "scope": ["read:**"]}, {"instance": instance, "scope": []}]}), {}, "scope_not_in_chain")
	denied_for(patched({"chain": [{"instance": parent, "scope": []}, {"instance": instance, "scope": ["read:**"]}]}), {}, "scope_not_in_chain")
}

test_chain_must_end_at_the_agent if {
	denied_for(patched({"chain": [{"instance": instance, "scope": ["read:**"]}, {"instance": parent, "scope": ["read:**"]}]}), {}, "chain_mismatch")
}

test_chain_must_be_as_long_as_the_depth if {
	denied_for(patched({"chain": [{"instance": instance, "scope": ["read:**"]}]}), {}, "chain_mismatch")
	denied_for(patched({"agent": {"depth": 0}}), {}, "chain_mismatch")
}

test_empty_chain_is_denied if {
	decision := decide(patched({"chain": []}), {})
	decision.reasons == ["chain_mismatch", "scope_not_in_chain"]
}

# ---------------------------------------------------------------------------------------------------- scope grammar

test_grants_that_cover if {
	every pair in [
		["read:a", "read:a"],
		["read:a/*", "read:a/b"],
		["*:a", "read:a"],
		["read:**", "read:a"],
		["read:**", "read:a/b/c"],
		["read:a/**", "read:a"],
		["read:a/**", "read:a/b/c"],
		["*:**", "x:y/z"],
		["read:*/b", "read:a/b"],
		["read:*/**", "read:a"],
	] {
		gate.covers(pair[0], pair[1])
	}
}

test_grants_that_do_not_cover if {
	every pair in [
		["read:a", "read:a/b"],
		["read:a", "write:a"],
		["read:a/*", "read:a"],
		["read:a/*", "read:a/b/c"],
		["read:a/**", "read:ab"],
		["read:a/**/c", "read:a/b/c"],
		["read:pay", "read:payroll"],
		["read", "read:a"],
		["", "read:a"],
		["read:a:b", "read:a:b"],
		["read:**", "read"],
	] {
		not gate.covers(pair[0], pair[1])
	}
}

test_a_wildcard_in_the_wish_is_denied if {
	every action in ["read:*", "read:**", "*:transactions", "read:transactions/**"] {
		decision := decide(patched({"action": action}), {})
		decision.effect == "deny"
		"input_malformed" in decision.reasons
	}
}

test_an_action_outside_the_grammar_is_denied if {
	every action in ["", "read", ":", "read:", ":a", "read:a//b", "read:A", "read:a:b", "read:a b", "read:..", "read:a/../b", "-x:a", null, 1, ["read:a"]] {
		decision := decide(patched({"action": action}), {})
		decision.effect == "deny"
		"input_malformed" in decision.reasons
	}
}

# ------------------------------------------------------------------------------------------------------------ rules

grant_rule(changes) := {"rules": [object.union({"name": "r", "identity": ["**"], "actions": ["read:**"]}, changes)]}

test_identity_patterns if {
	every pattern in [reader, "spiffe://example.org/finance/**", "spiffe://example.org/finance/reader/**", "spiffe://example.org/**", "spiffe://**", "**"] {
		allowed(request, grant_rule({"identity": [pattern]}))
	}
	every pattern in ["spiffe://example.org/fin/**", "spiffe://example.org/finance", "spiffe://example.or/**", instance, "spiffe://example.org/finance/reader/x/**"] {
		denied_for(request, grant_rule({"identity": [pattern]}), "no_rule_grants")
	}
}

test_pay_does_not_match_payroll if {
	payroll := patched({"agent": {"identity": "spiffe://example.org/payroll"}})
	denied_for(payroll, grant_rule({"identity": ["spiffe://example.org/pay/**"]}), "no_rule_grants")
}

test_resource_patterns if {
	every pattern in ["postgres://finance-db/transactions", "postgres://finance-db/**", "postgres://**", "**"] {
		allowed(request, grant_rule({"resources": [pattern]}))
	}
	every pattern in ["postgres://finance-db", "postgres://finance/**", "postgres://finance-db/transaction"] {
		denied_for(request, grant_rule({"resources": [pattern]}), "no_rule_grants")
	}
}

test_a_resource_that_climbs_is_denied if {
	every id in ["postgres://finance-db/../hr-db/salaries", "file:///a/./b", "file:///a/%2e%2E/b", "file:///a/..%2fb", "..", `file:///a\..\b`] {
		denied_for(patched({"resource": {"id": id}}), {}, "resource_not_normal")
	}
	allowed(patched({"resource": {"id": "file:///a/b.c/..d"}}), {})
}

test_rule_windows_are_half_open if {
	allowed(request, grant_rule({"nbf_ms": request.now_ms}))
	allowed(request, grant_rule({"exp_ms": request.now_ms + 1}))
	denied_for(request, grant_rule({"nbf_ms": request.now_ms + 1}), "no_rule_grants")
	denied_for(request, grant_rule({"exp_ms": request.now_ms}), "no_rule_grants")
}

test_a_rule_grants_only_its_actions if {
	denied_for(request, grant_rule({"actions": ["write:**"]}), "no_rule_grants")
	denied_for(request, grant_rule({"actions": ["read:reports"]}), "no_rule_grants")
}

# ------------------------------------------------------------------------------------------------------- deny rules

deny_rule(changes) := {"deny_rules": [object.union({"name": "frozen"}, changes)]}

test_a_deny_rule_overrides if {
	decision := decide(request, deny_rule({"resources": ["postgres://finance-db/**"]}))
	decision == {"effect": "deny", "reasons": ["frozen"], "matched": ["chain-scope", "frozen"], "obligations": []}
}

test_a_deny_rule_denies_what_all_its_conditions_name if {
	denied_for(request, deny_rule({}), "frozen")
	denied_for(request, deny_rule({"identity": [reader], "actions": ["*:**"]}), "frozen")
	allowed(request, deny_rule({"identity": [reader], "actions": ["write:**"]}))
	allowed(request, deny_rule({"exp_ms": request.now_ms}))
}

# --------------------------------------------------------------------------------------------------- approval rules

approval_rule(changes) := {"approval_rules": [object.union({"name": "large", "actions": ["read:**"]}, changes)]}

with_amount(value) := patched({"resource": {"properties": {"amount": value}}})

asks(req, rules) if {
	decision := decide(req, rules)
	decision.effect == "require_approval"
	decision.reasons == ["large"]
	"large" in decision.matched
}

test_a_rule_without_a_bound_always_asks if asks(request, approval_rule({}))

test_a_rule_asks_over_its_bound if {
	asks(with_amount(1001), approval_rule({"over": 1000}))
	asks(with_amount(1000.01), approval_rule({"over": 1000}))
	allowed(with_amount(1000), approval_rule({"over": 1000}))
	allowed(with_amount(0), approval_rule({"over": 1000}))
}

test_an_amount_that_is_absent_negative_or_no_number_asks if {
	asks(request, approval_rule({"over": 1000}))
	asks(object.union(request, {"resource": object.remove(request.resource, ["properties"])}), approval_rule({"over": 1000}))
	every amount in [-1, -0.5, null, "5", true, false, [5], {"amount": 5}] {
		asks(with_amount(amount), approval_rule({"over": 1000}))
	}
}

with_amounts(of_action, of_resource) := patched({
	"action_properties": {"amount": of_action},
	"resource": {"properties": {"amount": of_resource}},
})

test_the_amount_may_be_said_of_the_action if {
	rule := approval_rule({"over": 1000})
	allowed(patched({"action_properties": {"amount": 1000}}), rule)
	asks(patched({"action_properties": {"amount": 1001}}), rule)
	every amount in [-1, null, "5", true, false, [5], {"amount": 5}] {
		asks(patched({"action_properties": {"amount": amount}}), rule)
	}
}

test_two_amounts_that_differ_ask if {
	rule := approval_rule({"over": 1000})
	allowed(with_amounts(5, 5), rule)
	asks(with_amounts(5, 6), rule)
	asks(with_amounts(5, 5000), rule)
	asks(with_amounts(5000, 5), rule)
	asks(with_amounts(5, "5"), rule)
	asks(with_amounts(null, 5), rule)
	asks(with_amounts(false, 5), rule)
	asks(with_amounts(1001, 1001), rule)
}

test_the_property_can_be_named if {
	rows := patched({"resource": {"properties": {"rows": 5}}})
	allowed(rows, approval_rule({"over": 10, "property": "rows"}))
	asks(rows, approval_rule({"over": 4, "property": "rows"}))
}

with_approval(approval) := patched({"approvals": [approval]})

test_an_approval_counts_until_it_expires if {
	allowed(with_approval({"rule": "large", "exp_ms": request.now_ms + 1}), approval_rule({}))
	asks(with_approval({"rule": "large", "exp_ms": request.now_ms}), approval_rule({}))
	asks(with_approval({"rule": "large"}), approval_rule({}))
	asks(with_approval({"rule": "large", "exp_ms": "later"}), approval_rule({}))
	asks(with_approval({"rule": "other", "exp_ms": request.now_ms + 1}), approval_rule({}))
}

test_an_approval_does_not_lift_a_denial if {
	approved := with_approval({"rule": "large", "exp_ms": request.now_ms + 1})
	denied_for(approved, object.union(approval_rule({}), deny_rule({})), "frozen")
}

test_approval_waits_for_no_denied_action if {
	denied_for(patched({"action": "delete:x"}), approval_rule({"actions": ["*:**"]}), "scope_not_in_chain")
}

# --------------------------------------------------------------------------------------------------- malformed data

malformed(rules) if {
	decision := decide(request, rules)
	decision.effect == "deny"
	"policy_data_malformed" in decision.reasons
}

test_a_misspelt_rule_denies_everything if {
	malformed(deny_rule({"action": ["read:**"]}))
	malformed(deny_rule({"actions": "read:**"}))
	malformed(deny_rule({"actions": []}))
	malformed(deny_rule({"identity": []}))
	malformed(deny_rule({"actions": ["read"]}))
	malformed(deny_rule({"actions": ["read:a/**/b"]}))
	malformed(deny_rule({"resources": ["a/*/b"]}))
	malformed(deny_rule({"resources": [""]}))
	malformed(deny_rule({"identity": ["spiffe://a**"]}))
	malformed(deny_rule({"name": "no_rule_grants"}))
	malformed(deny_rule({"name": ""}))
	malformed(deny_rule({"name": "-frozen"}))
	malformed(deny_rule({"name": 1}))
	malformed(deny_rule({"exp_ms": "2030"}))
	malformed({"deny_rules": ["frozen"]})
	malformed({"deny_rules": {"frozen": {"name": "frozen"}}})
	malformed({"deny_rules": null})
	malformed(grant_rule({"over": 5}))
	malformed({"rules": [{"name": "r"}]})
	malformed(approval_rule({"over": "1000"}))
	malformed(approval_rule({"property": 5}))
	malformed({"approval_rules": [{"name": "large"}]})
}

test_two_rules_of_one_name_deny_everything if {
	malformed({"approval_rules": [{"name": "a", "actions": ["read:**"]}, {"name": "a", "actions": ["write:**"]}]})
}

# -------------------------------------------------------------------------------------------------- malformed input

test_each_missing_field_denies if {
	every field in ["agent", "chain", "action", "action_properties", "resource", "context", "approvals", "now_ms", "state_size"] {
		decision := decide(object.remove(request, [field]), {})
		decision.effect == "deny"
		"input_malformed" in decision.reasons
	}
}

test_each_field_of_a_wrong_type_denies if {
	every field in ["agent", "chain", "action", "action_properties", "resource", "context", "approvals", "now_ms", "state_size"] {
		every value in [null, "x", true] {
			decision := decide(object.union(object.remove(request, [field]), {field: value}), {})
			decision.effect == "deny"
			"input_malformed" in decision.reasons
		}
	}
}
