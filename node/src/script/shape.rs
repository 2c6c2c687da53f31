//! What a script must not look like, although the language would take it.

use rhai::{AST, ASTNode, Expr, Position, Stmt};

/// The first assignment to a part of a value (`a[0] = …`, `m.x = …`) or to `this`. The engine looks at the size of what is
/// assigned then, not at the whole: a list could hold lists without end, and copying it is one operation.
pub(super) fn assigned_part(tree: &AST) -> Option<Position> {
    let mut found = None;
    tree.walk(&mut |path: &[ASTNode<'_>]| {
        if let Some(ASTNode::Stmt(Stmt::Assignment(assignment))) = path.last()
            && !matches!(assignment.1.lhs, Expr::Variable(..))
        {
            found = Some(assignment.1.lhs.position());
        }
        found.is_none()
    });
    found
}
