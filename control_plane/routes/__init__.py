"""One blueprint a resource. Routes call services; they hold no state and take no decisions."""

from control_plane.routes.auth import blueprint as auth
from control_plane.routes.console import blueprint as console
from control_plane.routes.docs import blueprint as docs
from control_plane.routes.erasure import blueprint as erasure
from control_plane.routes.exports import blueprint as exports
from control_plane.routes.filters import blueprint as filters
from control_plane.routes.fleet import blueprint as fleet
from control_plane.routes.health import blueprint as health
from control_plane.routes.live import blueprint as live
from control_plane.routes.scraper import blueprint as scraper
from control_plane.routes.streams import blueprint as streams
from control_plane.routes.tasks import blueprint as tasks
from control_plane.routes.tenants import blueprint as tenants

BLUEPRINTS = (scraper, tasks, streams, live, filters, erasure, exports, fleet, tenants, auth, health, docs, console)
