# METADATA
# title: TrustWarden's default gate policy
# description: |
#   Decides one action of one agent. Evaluated by the gate for every decision, compiled to WebAssembly.
#   The input document, the rules in data.json and how to build are described in README.md.
#
#   Every ground for an allow is stated positively, and a denial follows from its absence: an expression that cannot
#   be evaluated (a missing field, a wrong type) is then a denial, never an allow.
package gate

# What an undefined decision would leave open: the host denies that too, under its own code.
default decision := {"effect": "deny", "reasons": ["policy_undefined"], "matched": [], "obligations": []}

decision := {"effect": "deny", "reasons": sort(denials), "matched": sort(matched), "obligations": []} if {
	count(denials) > 0
}

decision := {"effect": "require_approval", "reasons": sort(pending), "matched": sort(matched), "obligations": []} if {
	count(denials) == 0
	count(pending) > 0
}

decision := {"effect": "allow", "reasons": [], "matched": sort(matched), "obligations": []} if {
	count(denials) == 0
	count(pending) == 0
}

# ---------------------------------------------------------------------------------------------------------- denials

denials contains "input_malformed" if not input_well_formed

denials contains "policy_data_malformed" if not data_well_formed

denials contains "identity_unverified" if not identity_verified

denials contains "chain_mismatch" if not chain_leads_to_agent

denials contains "scope_not_in_chain" if not chain_covers_action

denials contains "resource_not_normal" if not resource_normal

denials contains "no_rule_grants" if count(granting) == 0

denials contains rule.name if some rule in denying

matched contains rule.name if some rule in granting

matched contains rule.name if some rule in denying

matched contains rule.name if some rule in asking

# ------------------------------------------------------------------------------------------------ identity and chain

identity_verified if input.agent.verified_by in {"agent_signature", "mtls_peer", "enforcement_point"}

# Root first, the agent itself last, one link for every step of delegation.
chain_leads_to_agent if {
	count(input.chain) == input.agent.depth + 1
	input.chain[input.agent.depth].instance == input.agent.instance
}

# The host has decided this already, link by link. Asked again here, so that one mistake is not enough.
chain_covers_action if {
	count(input.chain) > 0
	every link in input.chain {
		some grant in link.scope
		covers(grant, input.action)
	}
}

# -------------------------------------------------------------------------------------------------------- the rules

granting contains rule if {
	some rule in data.rules
	applies(rule)
}

denying contains rule if {
	some rule in data.deny_rules
	applies(rule)
}

asking contains rule if {
	some rule in data.approval_rules
	applies(rule)
	not stays_under(rule)
}

pending contains rule.name if {
	some rule in asking
	not approved(rule)
}

# What a rule does not say, it does not restrict.
applies(rule) if {
	matches_any(object.get(rule, "identity", ["**"]), input.agent.identity)
	matches_any(object.get(rule, "resources", ["**"]), input.resource.id)
	some grant in object.get(rule, "actions", ["*:**"])
	covers(grant, input.action)
	input.now_ms >= object.get(rule, "nbf_ms", 0)
	input.now_ms < object.get(rule, "exp_ms", 9007199254740991)
}

# Only a number from 0 to the bound stays under it: an amount that is absent, negative or no number needs approval, and
# so do two that differ.
stays_under(rule) if {
	property := object.get(rule, "property", "amount")
	amounts := {value |
		some properties in [input.action_properties, object.get(input.resource, "properties", {})]
		value := properties[property]
	}
	count(amounts) == 1
	some amount in amounts
	is_number(amount)
	amount >= 0
	amount <= rule.over
}

# The host passes only approvals whose signatures it checked and that are bound to this very action.
approved(rule) if {
	some approval in input.approvals
	approval.rule == rule.name
	is_number(approval.exp_ms)
	input.now_ms < approval.exp_ms
}

# --------------------------------------------------------------------------------------------------------- patterns

# True if the action lies in the set that the grant denotes.
covers(grant, action) if {
	[grant_verb, grant_path] := split(grant, ":")
	[action_verb, action_path] := split(action, ":")
	grant_verb in {"*", action_verb}
	path_covers(split(grant_path, "/"), split(action_path, "/"))
}

path_covers(grant, path) if {
	count(grant) == count(path)
	grant[count(grant) - 1] != "**"
	segments_cover(grant, path)
}

# A trailing `**` covers the node before it and everything below it.
path_covers(grant, path) if {
	above := count(grant) - 1
	grant[above] == "**"
	count(path) >= above
	segments_cover(array.slice(grant, 0, above), path)
}

segments_cover(grant, path) if {
	every i, segment in grant {
		segment in {"*", path[i]}
	}
}

matches_any(patterns, id) if {
	some pattern in patterns
	matches(pattern, id)
}

matches("**", _)

matches(pattern, id) if {
	not endswith(pattern, "/**")
	pattern == id
}

# On a boundary of segments: `…/pay/**` does not match `…/payroll`.
matches(pattern, id) if {
	endswith(pattern, "/**")
	node := trim_suffix(pattern, "/**")
	startswith(concat("", [id, "/"]), concat("", [node, "/"]))
}

# --------------------------------------------------------------------------------------------------- what must hold

input_well_formed if {
	is_string(input.agent.identity)
	is_string(input.agent.instance)
	is_string(input.agent.owner)
	is_number(input.agent.depth)
	is_array(input.chain)
	every link in input.chain {
		is_string(link.instance)
		is_array(link.scope)
	}
	grant_well_formed(input.action)
	not contains(input.action, "*")
	is_object(input.action_properties)
	is_string(input.resource.type)
	is_string(input.resource.id)
	is_object(object.get(input.resource, "properties", {}))
	is_object(input.context)
	is_array(input.approvals)
	is_number(input.now_ms)
	is_number(input.state_size)
}

# A rule that is misspelt would be one that never applies: for a deny rule that is an allow. So nothing is decided by
# data that is not exactly of the form that README.md describes.
data_well_formed if {
	every list in [data.rules, data.deny_rules, data.approval_rules] {
		is_array(list)
		count({rule.name | some rule in list}) == count(list)
	}
	every rule in data.rules {
		is_array(rule.identity)
		is_array(rule.actions)
		rule_well_formed(rule, set())
	}
	every rule in data.deny_rules {
		rule_well_formed(rule, set())
	}
	every rule in data.approval_rules {
		is_array(rule.actions)
		rule_well_formed(rule, {"over", "property"})
	}
}

rule_well_formed(rule, also) if {
	count(object.keys(rule) - ({"name", "identity", "actions", "resources", "nbf_ms", "exp_ms"} | also)) == 0
	name_well_formed(rule.name)
	every pattern in object.get(rule, "identity", []) {
		pattern_well_formed(pattern)
	}
	every pattern in object.get(rule, "resources", []) {
		pattern_well_formed(pattern)
	}
	every grant in object.get(rule, "actions", []) {
		grant_well_formed(grant)
	}
	every field in ["identity", "resources", "actions"] {
		list_well_formed(object.get(rule, field, ["**"]))
	}
	every field in ["nbf_ms", "exp_ms", "over"] {
		is_number(object.get(rule, field, 0))
	}
	is_string(object.get(rule, "property", "amount"))
}

# An empty list would be a rule that never applies.
list_well_formed(list) if {
	is_array(list)
	count(list) > 0
}

# Names stand beside the reasons of this policy and of the host, and must not be mistaken for them.
name_well_formed(name) if {
	count(name) > 0
	count(name) <= 64
	trim(substring(name, 0, 1), "abcdefghijklmnopqrstuvwxyz0123456789") == ""
	trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

pattern_well_formed(pattern) if {
	count(pattern) > 0
	not contains(trim_suffix(concat("", ["/", pattern]), "/**"), "*")
}

grant_well_formed(grant) if {
	[verb, path] := split(grant, ":")
	verb_or_segment(verb)
	segments := split(path, "/")
	every i, segment in segments {
		segment_well_formed(segment, i == (count(segments) - 1))
	}
}

segment_well_formed(segment, _) if verb_or_segment(segment)

segment_well_formed("**", true)

verb_or_segment("*")

verb_or_segment(word) if {
	count(word) > 0
	count(word) <= 64
	trim(substring(word, 0, 1), "abcdefghijklmnopqrstuvwxyz0123456789") == ""
	trim(word, "abcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}

# Patterns compare resource ids byte for byte; an id that climbs would be matched by one place and used at another.
resource_normal if {
	id := replace(lower(input.resource.id), "%2e", ".")
	every segment in split(replace(replace(id, "%2f", "/"), "\\", "/"), "/") {
		not segment in {".", ".."}
	}
}
