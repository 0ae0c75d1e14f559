"""Every text of the console, page by page, to be read together.

Templates take them as ``t.history.empty``, modules as ``texts.History.empty``, scripts as
``t.copied``. ``{name}`` stands for a value; the filter ``fill`` puts it in, with its markup.
Buttons say what happens; one word for one thing: reason, version, setting, change, undo, restore.
"""

# ruff: noqa: S105  # texts about secrets are no secrets

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import ClassVar


class Layout:
    """What stands on every page."""

    product = "Backstory"
    title = "{page} · Backstory"
    skip = "Skip to content"
    navigation = "Main"
    assistants = "Assistants"
    change_sets = "Change sets"
    audit_log = "Audit log"
    api_keys = "API keys"
    policy = "Policy"
    home = "Home"
    search = "Search"
    search_hint = "Search everything ( / )"
    account = "Account"
    signed_in = "{key}, {role}"
    organization = "Organization: {organization}"
    shortcuts = "Keyboard shortcuts"
    single_keys = "Use single-key shortcuts"
    close = "Close"
    sign_out = "Sign out"
    cancel = "Cancel"
    apply = "Apply"
    copy = "Copy"
    pages = "Pages"
    previous_page = "Previous page"
    next_page = "Next page"


class Parts:
    """What several pages show."""

    and_more = "and {count} more"
    on = "On"
    off = "Off"
    deleted = "Deleted"
    version = "version {version}"
    reason = "Reason"
    reason_required = "Reason (required by your policy)"
    because = "Reason: {reason}"
    this_assistant = "This assistant"
    settings = "Settings"
    history = "History"
    compare = "Compare"
    past_settings = "Past settings"
    signed_out = "You are signed out."
    sign_in_again = "Sign in again"
    who_when = "{who}, {when}"
    view_change = "View change"
    undo = "Undo"
    undo_reason = "Undo of version {version}"
    undo_reason_set = "Undo of change set {number}"
    undo_because = "{undo}: {reason}"


class Diff:
    """The differences between two versions."""

    none = "No differences."
    rotated = "Replaced by another secret (hidden)"
    absent = "not present"
    changed_to = "changed to"
    before = "Before"
    after = "After"
    left_out = " […] "
    unfold = "{count} unchanged"
    item = "item {number}"
    moved = "moved from place {before} to {after}"
    set_by = "{who}, version {version}"
    view = "View"
    inline = "Inline"
    side = "Side by side"


class SignIn:
    """Signing in."""

    title = "Sign in"
    hint = "Use an API key of your organization. Its role decides what you can do here."
    insecure = (
        "This page was loaded over plain HTTP, where browsers keep no session."
        " If you come back here after signing in, open the page over HTTPS."
    )
    key = "API key"
    bad_key = "This key is unknown or revoked."
    bad_link = "This link was used already or has expired. Sign in with an API key."
    signed_in = "Signed in"
    one_moment = "One moment"
    go_on = "Continue"


class Assistants:
    """The list of assistants, and a new one."""

    title = "Assistants"
    new = "New assistant"
    search = "Name or description"
    state = "State"
    states: ClassVar = {"all": "All", "active": "On", "inactive": "Off", "deleted": "Deleted"}
    sort = "Sort by"
    sorts: ClassVar = {"changed": "Last change", "name": "Name", "created": "Date created"}
    none_match = "No assistant matches."
    none_yet = "No assistants yet."
    create_one = "Create one"
    shown = "{first} to {last} of {total}"
    assistant = "Assistant"
    last_change = "Last change"
    activity = "Changes in 90 days"
    restore = "Restore {name}"
    select = "Select {name}"
    select_all = "Select all on this page"
    select_matching = "Select all {count} that match"
    change_selected = "Change settings"
    compare_selected = "Compare two"
    selected = "Selected assistants"
    page = "Page"
    of_pages = "of {last}"
    go = "Go"
    by_letter = "By first letter"
    changed = "{when} by {who}"
    deleted = "Deleted {when} by {who}"
    for_setting = "Choose an assistant to see its setting {setting}, or select some to change it."
    any_setting = "All settings"
    created = "Created"
    no_changes = "No changes"
    busiest = "{changes}, most on {day}: {most}"
    name = "Name"
    description = "Description"
    defaults = "All other settings start with their defaults."
    create = "Create assistant"


class Many:
    """One change of several assistants, and its plan."""

    title = "Change {count}"
    none_selected = "No assistant is selected. Go back to the list and select some"
    too_many = "{count} or more assistants are selected; it may be at most {most} at once"
    notes: ClassVar = {
        "compare": "Select two assistants to compare them.",
        "change": "Select the assistants to change.",
    }
    setting = "Setting"
    pick = "Choose a setting by its name"
    add = "Add setting"
    remove = "Remove {setting}"
    set_to = "The new value for all selected assistants"
    unknown = "There is no setting “{setting}” that you can change. Choose one from the list"
    several = "Several settings are called “{setting}”. Choose one: {settings}"
    nothing_picked = "Choose a setting first"
    secret_missing = "Type the secret. It is not kept in forms"
    preview = "Preview changes"
    nothing_yet = "Nothing has changed yet. All of them change together, or none."
    will_change = "{count} will change"
    same = "{count} already as wanted: {names}"
    refused = "Your policy does not allow this for {name} ({rule})"
    not_valid = "{name}, {setting}: {error}"
    apply = "Change {count}"
    edit = "Edit values"
    nothing = "Nothing to change: all of them have these values."


class Home:
    """What happened lately, and what is unusual."""

    title = "Recent changes"
    none_yet = "Nothing has happened yet. Changes of assistants are shown here, day by day."
    create_one = "Create an assistant"
    newest = "Back to newest"
    older = "Older changes"
    set_of = "Change set of {count}"
    unusual = "Unusual"
    nothing_unusual = "Nothing unusual lately."
    rules = (
        "In the last {days} days: warnings of the policy, an assistant that was taken back"
        " {times} times or more, and {many} or more changes of one assistant in a day."
    )
    taken_back = "Taken back {count} times in {days} days."
    many_changes = "{count} changes on {day}."


class Search:
    """One search over everything."""

    title = "Search"
    label = "Search for"
    among = "Among"
    everything = "Everything"
    go = "Search"
    kinds: ClassVar = {
        "assistants": "Assistants",
        "definitions": "Settings",
        "settings": "Values",
        "changes": "Reasons",
        "people": "People",
        "labels": "Labels",
    }
    hint = (
        "Type a part of a name, a setting, a value, a reason, a person or a label."
        " Secrets are not found."
    )
    none = "Nothing matches. Secrets are never found."
    within = "Only in {setting}."
    in_all = "Search all settings"
    by = "{name}, {who}, {when}"
    last = "last changed {name}, {when}"
    labelled = "{name}, version {version}"
    stopped = "There may be more."
    more = "Show more"
    change = "Change settings of {count}"


class ChangeSets:
    """Changes of several assistants at once."""

    title = "Change sets"
    intro = "One change of several assistants, applied and taken back as a whole."
    none_yet = "No change sets yet. Select assistants in the list, and choose Change settings."
    to_assistants = "Go to assistants"
    heading = "Change set {number}"
    untitled = "No reason given"
    who_when = "{who}, {when}"
    older = "Older change sets"
    newest = "Back to newest"
    saved = "{count} changed"
    take_back = "Take back"
    take_back_title = "Take back change set {number}"
    take_back_count = "Take back for {count}"
    what = "{kind} of {count}"
    kinds: ClassVar = {"change_set": "Change", "undo": "Undo"}
    taken_back = "Taken back by change set {number}"
    version = "version {version}"
    more = "More assistants"
    keeps_later = "Nothing has changed yet. Later changes of other settings are kept."
    conflict = "{name}: {setting} was changed again since, and is now {value}"
    skip = "Keep the later values"
    force = "Overwrite the later values as well"
    skipped = "{count} deleted since: not changed"
    nothing = "Nothing to take back: all of these settings have other values now, or are back."


class CompareTwo:
    """Two assistants beside each other."""

    title = "Compare {left} and {right}"
    heading = "Compare two assistants"
    swap = "Swap sides"
    differences = "{count} differ"
    identical = "All settings have the same values. Hidden secrets are not compared."
    hidden = "Secrets are hidden and not compared: {settings}"
    same = "{count} are equal"
    setting = "Setting"
    copy_hint = "To copy settings from one to the other, check them and choose a direction."
    select = "Copy {setting}"
    copy_to = "Copy from {source} to {target}"


class Copying:
    """Settings of one assistant, copied to others."""

    title = "Copy settings of {name}"
    settings = "These settings are copied from version {version}:"
    secrets_left_out = "Secrets are not copied, and stay as they are: {settings}"
    nothing_left = "Only secrets were chosen. Secrets are not copied"
    targets = "Copy to"
    find = "Name or description"
    filter = "Filter"
    first_shown = "The first {count} of {total} are shown. Filter to see others."
    all_matching = "All {count} that match"
    preview = "Preview changes"
    no_target = "There is no other assistant."


class Assistant:
    """The settings of one assistant."""

    nothing_saved = "Nothing was saved. Correct these settings:"
    at_setting = "{setting}: {error}"
    groups = "Groups of settings"
    essentials = "Essentials"
    general = "General"
    manage = "Manage assistant"
    differing = "{count} not at the default"
    not_at_default = "not at the default"
    find = "Find a setting"
    find_hint = "Name, value or path"
    only = "Show only"
    only_differing = "Not at the default"
    only_recent = "Changed this week"
    only_mine = "Changed by me"
    filter = "Filter"
    show_all = "Show all settings"
    no_match = "No setting matches."
    default = "Default: {value}"
    bounds = "{low} to {high}"
    at_least = "at least {low}"
    at_most = "at most {high}"
    one_per_line = "One per line"
    as_json = "JSON"
    not_set = "not set"
    remove_secret = "Remove"
    computed = "Set by the server"
    admins_only = "Only admins can change this."
    needs_reason = "Changing this requires a reason."
    since = "{who}, {when}"
    by_version = "Version {version}: {reason}"
    by_version_alone = "Version {version}"
    menu = "Actions for {setting}"
    menu_history = "History of this setting"
    menu_reset = "Reset to default"
    menu_copy = "Copy path"
    menu_copy_to = "Copy to other assistants"
    find_in_text = "Find in this text"
    unsaved = "No unsaved changes"
    out_of_bounds = "A value in a closed group is out of bounds. Open the group marked in red."
    review = "Review changes"
    save = "Save as version {version}"
    saved = "Saved as version {version}"
    older = "You are editing version {version}. Saving keeps later changes by others."
    reason_switch_on = "Reason for switching on"
    reason_switch_off = "Reason for switching off"
    reason_delete = "Reason for deleting"
    switch_on = "Switch on"
    switch_off = "Switch off"
    duplicate = "Duplicate"
    delete = "Delete"
    delete_hint = (
        "The assistant stops answering at once. Its history is kept."
        " You can restore it: filter the assistants by the state Deleted."
    )
    delete_name = "Delete {name}"
    no_longer = "This setting no longer exists. Reload the page"
    not_json = "This is not valid JSON: line {line}, column {column}"
    not_json_because = "This is not valid JSON: {reason}"
    locked = "Only admins can change this"
    type_again = "Enter the secret again: forms never keep secrets"


class Review:
    """The edits of one assistant, before they are saved."""

    title = "Review changes"
    changes = "{count} in {name}"
    secret = "A new secret (hidden)"
    none = "No changes to save."
    back = "Back to settings"


class Conflict:
    """Two people changed one setting."""

    title = "Conflicting changes"
    intro = (
        "Nothing was saved. Since you opened {name}, others changed the settings below as well."
        " Choose a value for each. Your other changes are saved with it."
    )
    opened = "When you opened the page: {value}"
    theirs = "Theirs"
    yours = "Yours"
    original = "Original"
    original_hint = "from when you opened the page"
    secret_again = (
        "{setting}: enter the secret again, or leave this field as it is. Forms never keep secrets"
    )
    save = "Save these values"
    secret_gone = "The original secret cannot be shown. Choose theirs, or enter the secret again"
    yours_again = "You chose yours: enter the secret again"


class Warnings:
    """A change that was saved, and that the policy warns of."""

    title = "Saved as version {version}"
    check = "{name} was saved. Check these warnings:"
    warning = "{setting}: {message}"
    back = "Back to settings"


class History:
    """The changes of one assistant."""

    title = "History of {name}"
    filters = "Filter the history"
    setting = "Setting"
    any_setting = "Name or path"
    person = "Changed by"
    anybody = "Anybody"
    kind = "Kind"
    kinds: ClassVar = {
        "edit": "Edited",
        "status": "Switched on or off",
        "back": "Undone or restored",
        "set": "In a change set",
        "life": "Deleted or restored",
        "secrets": "Secrets erased",
    }
    any_kind = "All changes"
    period = "Period"
    periods: ClassVar = {"today": "Today", "week": "Since Monday", "month": "Last 30 days"}
    any_time = "Any time"
    since = "From"
    until = "To"
    utc = "Days and times are in UTC."
    filter_names: ClassVar = {
        "path": "Setting",
        "actor": "Changed by",
        "kind": "Kind",
        "period": "Period",
        "since": "From",
        "until": "To",
    }
    chip = "{title}: {words}"
    remove = "Remove filter {title}"
    clear = "Clear filters"
    no_setting = "No setting is called {text}."
    not_a_choice = "{text} is not one of the choices. It was left out."
    not_a_date = "{text} is not a date such as 2026-10-20. It was left out."
    line = "{versions} over time, {back}, {labels}"
    drag = "Drag over the line to choose a period."
    legend_change = "Change"
    legend_back = "Undo or restore"
    legend_label = "Label"
    to_newest = "Back to newest"
    no_reason = "No reason given"
    choose = "Choose version {version} to compare"
    compare = "Compare"
    compare_hint = "Choose one version to compare it with the current one, or two."
    more_changes = "{count} more changed"
    reverted_by = "undone by version {version}"
    menu = "Actions for version {version}"
    label = "Label"
    set_label = "Save label"
    remove_label = "Remove label"
    undo = "Undo"
    none_match = "No changes match these filters."
    none_yet = "No changes since the assistant was created."
    older = "Older changes"
    creation = "How the assistant was created"


class Change:
    """One change."""

    title = "Version {version} of {name}"
    heading = "Version {version}"
    who_how = "{when} by {who}, {how}"
    reverts = "Undoes"
    reverted_by = "Undone by"
    version = "version {version}"
    versions = "Versions"
    previous = "Previous version"
    next = "Next version"
    compare = "Compare with current version"
    undo = "Undo this change"
    restore = "Restore this version"
    created = "{how} with {count}."
    saved = "Saved as version {version}"


class Compare:
    """Two versions of one assistant."""

    title = "Compare versions of {name}"
    before = "From"
    after = "To"
    compare = "Compare"
    swap = "Swap"
    choice = "Version {version}, {day}, {who}"
    choice_because = "{choice}: {reason}"
    choice_label = "{label}: {choice}"
    same = "{count} unchanged"
    not_one = "No version is called {name}. Another one is shown."


class PastSettings:
    """The settings of one assistant at any version or moment."""

    title = "Past settings of {name}, version {version}"
    version = "Version"
    of_versions = "{version} of {last}"
    show = "Show"
    day = "Date"
    on_day = "At the end of {day} ({zone})"
    changed_that_day = "Changed {count} that day"
    before_first = "The assistant did not exist on {day}. This is its first version."
    not_a_date = "{text} is not a date such as 2026-10-20. The current version is shown."
    heading = "Version {version}"
    heading_current = "Version {version} (current)"
    differing = "{count} from the current version"
    none_differ = "No setting differs from the current version."
    differ_here = "{count} differing"
    then = "Then"
    current_title = "Current"
    current = "Current: {value}"
    current_hidden = "another value (hidden)"
    all = "All settings of this version"


class Plan:
    """What an undo or a restored version would change."""

    undo = "Undo version {version}"
    effects: ClassVar[dict[str, str]] = {
        "live": "Running calls follow this at once.",
        "next_turn": "Running calls follow this from what the assistant says next.",
        "next_call": "Running calls keep what they have; the next call follows this.",
    }
    restore = "Restore version {version}"
    title = "{action} of {name}"
    up_to_date = "{error}. The plan below is up to date."
    nothing_yet = "Nothing has changed yet."
    keeps_later = "Later changes are kept."
    keeps_unselected = "Later changes are kept, except those of settings that you select below."
    as_version = "The old settings become a new version, which can be undone."
    refused = "Your policy does not allow this ({rule})"
    not_valid = "{setting}: the old value is no longer valid. {error}"
    secrets_kept = "Secrets keep their current values: {settings}"
    changed_since = "Changed again since then. Select it to undo these changes as well:"
    stays = "{setting} was changed again since then, and keeps its current value"
    lost = "Later changes that will also be undone"
    version = "Version {version}"
    by = "by {who}, {when}"
    all_together = "Too many settings to choose from: all change together."
    will_change = "{count} will change"
    can_change = "{count} can change"
    not_changed = "not changed"
    nothing = "Nothing to change. The assistant already has these values."
    choose_later = "Nothing is selected: all of these settings were changed again later."
    nothing_chosen = "Nothing is selected. Select the settings to change."
    none_possible = "None of these settings can be changed back."
    choose_some = "Select the settings to change."
    edit = "Edit before saving"
    edit_hint = "The planned values are in the form. Nothing is saved yet."
    not_a_version = "Enter the number of a version"


class Live:
    """The banner that reports changes by others."""

    deleted = "This assistant was deleted."
    to_assistants = "Go to assistants"
    changes = "{count} changes"
    since = "{changes} since you opened this page, the last by {who}, {when}"
    changed = "Changed since you opened this page, by {who}, {when}"
    reload = "Reload page"


class Audit:
    """The audit log."""

    title = "Audit log"
    filters = "Filter the log"
    kind = "Event"
    any = "Any"
    kinds: ClassVar = {
        "assistant_created": "Assistant created",
        "assistant_settings_changed": "Settings changed",
        "assistant_deleted": "Assistant deleted",
        "assistant_restored": "Assistant restored",
        "version_labelled": "Version labeled",
        "policy_changed": "Policy changed",
        "secrets_erased": "Secrets erased",
        "secrets_revealed": "Secrets read",
        "api_key_created": "API key created",
        "api_key_changed": "API key changed",
        "api_key_revoked": "API key revoked",
        "phone_number_added": "Phone number added",
        "phone_number_renamed": "Phone number renamed",
        "phone_number_assigned": "Phone number assigned",
        "phone_number_unassigned": "Phone number unassigned",
        "login_refused": "Key refused",
        "webhook_created": "Webhook created",
        "webhook_changed": "Webhook changed",
        "webhook_disabled": "Webhook disabled",
        "webhook_asked": "Webhook delivery requested",
        "webhook_deleted": "Webhook deleted",
        "secret_keys_rotated": "Encryption keys rotated",
        "audit_exported": "Log exported",
        "checkpoint_recorded": "Checkpoint signed",
    }
    sentences: ClassVar = {
        "assistant_created": "{who} created {what}",
        "assistant_settings_changed": "{who} changed {what}",
        "assistant_deleted": "{who} deleted {what}",
        "assistant_restored": "{who} restored {what}",
        "version_labelled": "{who} labeled a version of {what}",
        "policy_changed": "{who} changed the policy",
        "secrets_erased": "{who} erased secrets of {what}",
        "secrets_revealed": "{who} read secrets of {what}",
        "api_key_created": "{who} created {what}",
        "api_key_changed": "{who} changed {what}",
        "api_key_revoked": "{who} revoked {what}",
        "phone_number_added": "{who} added {what}",
        "phone_number_renamed": "{who} renamed {what}",
        "phone_number_assigned": "{who} assigned {what}",
        "phone_number_unassigned": "{who} unassigned {what}",
        "login_refused": "A request with {what} was refused: the key is unknown or revoked",
        "webhook_created": "{who} created a webhook",
        "webhook_changed": "{who} changed a webhook",
        "webhook_disabled": "{who} disabled a webhook",
        "webhook_asked": "{who} requested a delivery to a webhook",
        "webhook_deleted": "{who} deleted a webhook",
        "secret_keys_rotated": "{who} rotated the encryption keys",
        "audit_exported": "{who} exported the audit log",
        "checkpoint_recorded": "A checkpoint of the log was signed",
    }
    resources: ClassVar = {
        "assistant": "Assistants",
        "api_key": "API keys",
        "phone_number": "Phone numbers",
        "policy": "Policy",
        "webhook": "Webhooks",
        "secret_keys": "Encryption keys",
        "audit_log": "Audit log",
    }
    resource_type = "About"
    assistant = "Assistant"
    person = "Person"
    pick_hint = "Name or ID"
    start = "From"
    end = "To"
    filter_names: ClassVar = {
        "event_type": "Event",
        "user_id": "Person",
        "assistant": "Assistant",
        "resource_type": "About",
        "resource_id": "ID",
        "start_date": "From",
        "end_date": "To",
    }
    period = "Period:"
    periods: ClassVar = {"today": "Today", "week": "Last 7 days", "month": "Last 30 days"}
    remove_filter = "Remove filter"
    clear = "Clear all filters"
    no_person = "No person is called {name}. Pick a person from the list."
    no_assistant = "No assistant is called {name}. Pick an assistant from the list."
    several_assistants = "Several assistants are called {name}. Enter one of these IDs: {ids}."
    to_newest = "Back to newest"
    shown = "{count}, newest first"
    time = "Time"
    event = "Event"
    an_assistant = "assistant {id}"
    a_key = "API key {name}"
    a_number = "phone number {number}"
    a_number_of = "phone number {number}, {assistant}"
    unknown_key = "an unknown API key"
    refused = "refused"
    at_version = "{name}, version {version}"
    set_to = "{setting}: {value}"
    was_changed = "{setting}: {before} → {after}"
    from_address = "from {address}"
    raw = "Event {number} as JSON"
    none_match = "No events match these filters."
    older = "Older events"
    export = "Export"
    format = "Format"
    formats: ClassVar = {
        "ndjson": "NDJSON (can be verified)",
        "csv": "CSV (one row per changed field)",
        "json": "JSON",
        "cloudevents": "CloudEvents",
        "ocsf": "OCSF",
        "parquet": "Parquet",
    }
    export_all = "Export all events"
    export_filtered = "Export filtered events"
    progress = "Export progress"
    limits = (
        "An export can be limited by event, by one assistant and by dates."
        " It ignores these filters:"
    )
    same_bytes = "The same range always gives the same bytes. Each export is recorded in the log."
    verify = "Verify the log"
    verify_steps = (
        "Export all events as NDJSON, download the {key}, and run this command on any machine:"
    )
    public_key = "public key"
    keep = (
        "Keep a {checkpoint} where the operators of this server cannot change it. With {option},"
        " a later export is checked against it. This reveals a log that was rewritten and signed"
        " again."
    )
    checkpoint = "checkpoint"
    current_checkpoint = "Current checkpoint"
    key = "Public key"
    keys = "Public keys, the current one first"


class Keys:
    """API keys."""

    title = "API keys"
    title_of = "API key {name}"
    created = "Key {name} created. Copy it now: it is not shown again."
    stored = "Only its hash is stored."
    use_curl = "Try it with curl:"
    use_sdk = "Or with the Burki SDK for Python (pip install burki):"
    shown = "{count}, including revoked ones"
    name = "Name"
    name_hint = "Who or what uses it"
    role = "Role"
    role_choice = "Role: what this key may do"
    roles: ClassVar = {
        "viewer": "may read settings, history and the policy; may not change anything",
        "editor": "may also create, change and delete assistants",
        "admin": "may also manage API keys and the policy, read the audit log and erase secrets",
    }
    may: ClassVar = {
        "viewer": "Read settings, history and the policy",
        "editor": "Create, change, delete and restore assistants",
        "admin": "Manage API keys and the policy, read the audit log, erase secrets",
        "reveal": "Read secrets in plain text; each reading is recorded",
    }
    may_title = "What it may do"
    yes = "Yes"
    no = "No"
    state = "State"
    last_used = "Last used"
    this_session = "this session"
    created_at = "{prefix}… created {when}"
    created_by = "Created {when} by {who}"
    created_when = "Created {when}"
    owner = "Owner: {name}"
    used = "Last used {when}, {count} in all"
    never_used = "Never used"
    reveals = "can read secrets"
    resolves = "can resolve calls"
    without = "without {name}"
    narrowed = "Limited to the rights of role {role}"
    active = "Active"
    revoked = "Revoked"
    never = "never"
    activity = "Latest events"
    no_events = "No recent events. Reading settings records none."
    events_about = "All events about this key"
    events_of_owner = "All events of {name}"
    change = "Change this key"
    rename = "Rename"
    revoke = "Revoke key"
    activate = "Activate key"
    revoke_own = (
        "You are signed in with this key. If you revoke it, you are signed out, and its other"
        " users lose access too."
    )
    revoke_hint = "If you revoke this key, it stops working at its next request."
    last_admin = (
        "This is the last active admin key. Without one, new keys can only be created on the"
        " server's command line."
    )
    new = "New key"
    can_reveal = "Can read secrets"
    can_reveal_hint = "in plain text, for a voice runtime; cannot be added later"
    can_resolve = "Can resolve calls"
    can_resolve_hint = "asks what a call is to run, for a voice runtime; cannot be added later"
    create = "Create key"


class Policy:
    """The change policy."""

    title = "Policy"
    intro = "What every change of an assistant must keep to, in this console and through the API."
    admins = "Only admins can change these rules."
    saved = "Policy saved. It applies from the next change on."
    now = "Saved by others meanwhile: {value}"
    every_change = "Rules for every change"
    some_settings = "Rules for some settings"
    require_reason = "Require a reason"
    require_reason_hint = "Nobody saves a change without saying why."
    require_condition = "Require the version being changed"
    require_condition_hint = (
        "Each change must name the version that it is based on, so that no program overwrites"
        " changes that it has not read. This console always names it."
    )
    require_reason_for = "Settings that require a reason"
    require_reason_for_hint = "No effect while every change requires one."
    admin_paths = "Settings that only admins can change"
    admin_paths_hint = "Changes by editors are refused."
    secret_paths = "Secret settings"
    secret_paths_hint = (
        "New values are encrypted and never shown. Replace the current values too: the history"
        " keeps old ones readable."
    )
    plain_paths = "Settings that are not secret, despite their names"
    plain_paths_hint = (
        "New values stay readable. Values that are encrypted already, or that look like"
        " credentials, stay secret."
    )
    none = "No settings."
    all_of = "{setting} (all settings)"
    covers = "Covers {count}: {settings}"
    add = "Add a setting"
    add_hint = "Type to search, or enter a path"
    any_hint = "In a path, * matches any member or element."
    uncheck_hint = "Clear a checkbox to remove the setting from the rule."
    save = "Save policy"


class Problem:
    """Pages that say what went wrong."""

    titles: ClassVar[dict[int, str]] = {
        403: "Not permitted",
        404: "Not found",
        413: "Too long",
        422: "Invalid input",
        503: "Temporarily unavailable",
    }
    no_page = "There is no such page."
    cross_site = "This form is not from a page of your session. Reload the page and try again."
    to_assistants = "Go to assistants"


class Values:
    """Values as text."""

    not_set = "not set"
    on = "on"
    off = "off"
    empty = "empty"
    hidden = "set (hidden)"
    none = "none"
    everything = "All settings"
    below = " \u203a "
    causes: ClassVar = {
        "create": "created",
        "duplicate": "copied",
        "patch": "changed",
        "put": "changed",
        "status": "switched on or off",
        "change_set": "changed in a change set",
        "rollback": "restored",
        "undo": "undid",
        "delete": "deleted",
        "restore": "restored",
        "erase": "erased secrets",
        "purge": "purged secrets",
    }
    to_version = "{verb} version {version}"
    undid_version = "{verb} version {version}"


class Script:
    """What scripts write; ``/static/texts.js`` holds these."""

    copied = "Copied"
    show_shortcuts = "Show keyboard shortcuts"
    to_search = "Search"
    to_filter = "Go to the first filter"
    next_item = "Next item"
    previous_item = "Previous item"
    go_to = "Go to {place}"
    cancelled = "Cancelled"
    export_failed = "The export failed: {reason}. Try again"
    answered = "the server answered {status}"
    signed_out = "you are signed out"
    incomplete = "the file is incomplete"
    export_done = "Done: {size}, up to event {event}"
    export_at = "{size}, event {event} of {last}"
    older_loaded = "{count} older changes loaded"
    changes_found = "{count} changes shown"
    of_versions = "{version} of {last}"
    one_unsaved = "1 unsaved change"
    unsaved = "{count} unsaved changes"
    discard = "Discard changes"
    draft_found = "You left {count} here {when}."
    draft_restore = "Restore them"
    draft_discard = "Discard them"
    draft_older = "Continue with version {version}"
    add = "Add"
    remove = "Remove"
    move_up = "Move up"
    move_down = "Move down"
    as_rows = "Edit as rows"
    as_text = "Edit as text"
    item = "{setting}, item {number}"
    lines_counted = "{characters} characters, about {tokens} tokens"
    found = "{number} of {count}"
    results = "{count} results"
    selected = "{count} selected"
    none_selected = "No assistants selected"
    one_setting = "{count} setting shown"
    settings_shown = "{count} settings shown"


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


PAGES = (
    Layout, Parts, Diff, SignIn, Home, Search, Assistants, Many, ChangeSets, CompareTwo, Copying,
    Assistant, Review, Conflict, Warnings, History, Change, Compare, PastSettings, Plan, Live,
    Audit, Keys, Policy, Problem, Values, Script,
)  # fmt: skip
T = SimpleNamespace(**{_snake(page.__name__): page for page in PAGES})
